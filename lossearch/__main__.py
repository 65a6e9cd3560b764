"""`python -m lossearch` is the command `lossearch`."""

from lossearch.cli.main import main

if __name__ == "__main__":
    main()
