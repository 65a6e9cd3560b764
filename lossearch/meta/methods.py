"""Every search method by name, meta-learning among them."""

from lossearch.evolve.methods.registry import METHODS, make_method, settings_of
from lossearch.meta.method import Hypergradient

METHODS.add("hypergradient", Hypergradient)

__all__ = ["METHODS", "make_method", "settings_of"]
