"""Weights of elements by their distance to boundaries."""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.primitive import primitive
from lossearch.ir.operators import functions as fn

FAMILY = "boundary"


@primitive(family=FAMILY)
def gaussian_proximity(distance: Expr, sigma: Expr) -> Expr:
    """e^(-d²/(2σ²)), in [0, 1]: one at a boundary; elementwise; sigma > 0. Ronneberger et al. 2015."""
    return fn.exp(-(fn.square(distance) / (2 * fn.square(sigma))))
