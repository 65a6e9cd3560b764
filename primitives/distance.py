"""Distances between the predicted distribution and the target."""

from __future__ import annotations

from lossearch.ir import functions as fn
from lossearch.ir.expr import Expr
from lossearch.ir.primitive import primitive

FAMILY = "distance"


@primitive(family=FAMILY)
def squared_probability_error(logits: Expr, target: Expr) -> Expr:
    """Squared error Σ_c (p_c - t_c)² of logits[batch, class, *space]: [batch, *space] in [0, 2]. Brier 1950."""
    return fn.sum(fn.square(fn.softmax(logits, "class") - target), "class")


@primitive(family=FAMILY)
def absolute_probability_error(logits: Expr, target: Expr) -> Expr:
    """Absolute error Σ_c |p_c - t_c| of logits[batch, class, *space]: [batch, *space] in [0, 2].

    2(1 - p_y) for a one-hot target. Ghosh et al. 2017.
    """
    return fn.sum(fn.abs(fn.softmax(logits, "class") - target), "class")
