"""How two views agree: cross-correlation of features, and maps against maps."""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.primitive import primitive
from lossearch.ir.operators import functions as fn
from lossearch.primitives.moments import centred

FAMILY = "multi_view"


def _standardised(x: Expr) -> Expr:
    """Mean zero and norm one over the batch; a constant feature is zero."""
    return fn.unit(centred(x, over=("batch",)), "batch")


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
    p, q = fn.softmax(logits, "space"), fn.softmax(target, "space")
    ratio = fn.log_softmax(logits, "space") - fn.log_softmax(target, "space")
    # Σ q log(q/p) = Σ (p - q - q log(p/q)), of terms ≥ 0 that are exact where the maps are near each other.
    near, far = q * (fn.expm1(ratio) - ratio), p - q - q * ratio
    return fn.sum(fn.relu(fn.where(fn.less(fn.abs(ratio), 1.0), near, far)), "space")
