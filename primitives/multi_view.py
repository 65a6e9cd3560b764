"""How two views agree: cross-correlation of features, and maps against maps."""

from __future__ import annotations

from lossearch.ir import functions as fn
from lossearch.ir.expr import Expr
from lossearch.ir.primitive import primitive

FAMILY = "multi_view"


def _standardised(x: Expr) -> Expr:
    """Mean zero and norm one over the batch; a constant feature is zero."""
    return fn.unit(x - fn.mean(x, "batch"), "batch")


@primitive(family=FAMILY)
def cross_correlation(first: Expr, second: Expr) -> Expr:
    """Correlations over the batch of first[batch, feature] with second: [feature, feature'] in [-1, 1].

    Zero for a constant feature. Zbontar et al. 2021.
    """
    other = fn.rename(_standardised(second), "feature", "feature'")
    return fn.contract(_standardised(first), other, "batch")


@primitive(family=FAMILY)
def map_direction_distance(first: Expr, second: Expr) -> Expr:
    """‖a/‖a‖ - b/‖b‖‖² of maps[batch, *space]: [batch] in [0, 4]. Zagoruyko and Komodakis 2017."""
    return fn.sum(fn.square(fn.unit(first, "space") - fn.unit(second, "space")), "space")


@primitive(family=FAMILY)
def map_divergence(logits: Expr, target: Expr) -> Expr:
    """KL(softmax t ‖ softmax x) over space of maps[batch, *space]: [batch], ≥ 0."""
    difference = fn.log_softmax(target, "space") - fn.log_softmax(logits, "space")
    # ≥ 0 but for rounding; relu says so to the types.
    return fn.relu(fn.contract(fn.softmax(target, "space"), difference, "space"))
