"""Deviations from a mean, and what is made of them."""

from __future__ import annotations

from lossearch.ir.core.axes import Axes
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.primitive import primitive
from lossearch.ir.operators import functions as fn

FAMILY = "moments"


@primitive(family=FAMILY)
def centred(x: Expr, *, over: Axes = ("batch",)) -> Expr:
    """x less its mean over the named axes: exactly zero where it does not vary along them, however large it is."""
    # The mean of equal numbers is rounded. What is near the least of them is known exactly, and so is its mean.
    above_least = x - fn.stop_gradient(fn.min(x, over))
    return above_least - fn.mean(above_least, over)
