"""`python -m bigrain` is the command line."""

from bigrain.cli import main

if __name__ == "__main__":
    main(prog_name="bigrain")
