"""Ways to find a loss by evolution: grammar, variation, and methods behind one ask/tell interface."""

from lossearch.evolve.method import Method, Proposal
from lossearch.evolve.methods.registry import METHODS, make_method

__all__ = ["METHODS", "Method", "Proposal", "make_method"]
