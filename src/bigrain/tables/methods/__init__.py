"""One method a file. All are `Table`s; a method that has phases says which in `phases`."""
