"""`python -m bigrain.cli` is the command `bigrain`."""

from bigrain.cli import main

main(prog_name="bigrain")
