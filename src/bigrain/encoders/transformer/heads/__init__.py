"""From the last layer of a transformer to a representation, one family a file."""
