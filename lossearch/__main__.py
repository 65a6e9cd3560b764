"""`python -m lossearch` is the command `lossearch`."""

from lossearch.cli.main import main

main()
