"""Meta-learning: coefficients of losses follow hypergradients over tasks. It comes as one more search method."""

from lossearch.evolve.methods.registry import METHODS, make_method
from lossearch.meta.method import Hypergradient

METHODS.add("hypergradient", Hypergradient)

__all__ = ["METHODS", "make_method"]
