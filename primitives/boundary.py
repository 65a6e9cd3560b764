"""Weights of elements by their distance to boundaries."""

from __future__ import annotations

from lossearch.ir import functions as fn
from lossearch.ir.expr import Expr
from lossearch.ir.primitive import primitive

FAMILY = "boundary"


@primitive(family=FAMILY)
def gaussian_proximity(distance: Expr, sigma: Expr) -> Expr:
    """e^(-d²/(2σ²)): one at a boundary, zero far from it; elementwise, in [0, 1]; sigma > 0. Ronneberger et al. 2015."""
    return fn.exp(-(fn.square(distance) / (2 * fn.square(sigma))))
