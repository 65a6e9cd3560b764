"""Overlap of a predicted and a true region given as maps.

`prediction` and `target` hold memberships in [0, 1] on the same axes. `over` names the axes that are summed:
("space",) gives one overlap per image and class, ("batch", "space") one per class over the whole batch. `smooth` > 0
is added to numerator and denominator, so that an absent class that is predicted absent has overlap 1.
"""

from __future__ import annotations

from lossearch.ir.core.axes import Axes
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.primitive import primitive
from lossearch.ir.operators import functions as fn

FAMILY = "overlap"
BATCH: Axes = ("batch", "space")


@primitive(family=FAMILY)
def soft_intersection(prediction: Expr, target: Expr, *, over: Axes = BATCH) -> Expr:
    """Σ p·t over the named axes: true positives, ≥ 0."""
    return fn.contract(prediction, target, over)


@primitive(family=FAMILY)
def soft_cardinality(membership: Expr, *, over: Axes = BATCH) -> Expr:
    """Σ p over the named axes: size of a soft set, ≥ 0."""
    return fn.sum(membership, over)


@primitive(family=FAMILY)
def squared_cardinality(membership: Expr, *, over: Axes = BATCH) -> Expr:
    """Σ p² over the named axes, ≥ 0: size of a soft set as V-Net measures it. Milletari et al. 2016."""
    return fn.sum(fn.square(membership), over)


@primitive(family=FAMILY)
def soft_false_negatives(prediction: Expr, target: Expr, *, over: Axes = BATCH) -> Expr:
    """Σ t(1 - p) over the named axes, ≥ 0."""
    # Σ t(1 - p) = Σ t - Σ p·t needs no map of 1 - p; relu only says that rounding cannot make it negative.
    return fn.relu(fn.sum(target, over) - fn.contract(prediction, target, over))


@primitive(family=FAMILY)
def soft_false_positives(prediction: Expr, target: Expr, *, over: Axes = BATCH) -> Expr:
    """Σ p(1 - t) over the named axes, ≥ 0."""
    # Σ p(1 - t) = Σ p - Σ p·t, as above.
    return fn.relu(fn.sum(prediction, over) - fn.contract(prediction, target, over))


@primitive(family=FAMILY)
def dice_coefficient(prediction: Expr, target: Expr, smooth: Expr, *, over: Axes = BATCH) -> Expr:
    """(2Σpt + s)/(Σp + Σt + s), in [0, 1] for one-hot targets. Dice 1945, Sudre et al. 2017."""
    sizes = fn.sum(prediction, over) + fn.sum(target, over)
    return (2 * fn.contract(prediction, target, over) + smooth) / (sizes + smooth)


@primitive(family=FAMILY)
def squared_dice_coefficient(prediction: Expr, target: Expr, smooth: Expr, *, over: Axes = BATCH) -> Expr:
    """(2Σpt + s)/(Σp² + Σt² + s), in [0, 1]. Milletari et al. 2016."""
    sizes = fn.sum(fn.square(prediction), over) + fn.sum(fn.square(target), over)
    return (2 * fn.contract(prediction, target, over) + smooth) / (sizes + smooth)


@primitive(family=FAMILY)
def jaccard_index(prediction: Expr, target: Expr, smooth: Expr, *, over: Axes = BATCH) -> Expr:
    """(Σpt + s)/(Σ(p + t - pt) + s), in [0, 1]: intersection over union. Jaccard 1912, Rahman and Wang 2016."""
    intersection = fn.contract(prediction, target, over)
    # Σp + Σt - Σpt ≥ 0 always; relu says so to the types.
    union = fn.relu(fn.sum(prediction, over) + fn.sum(target, over) - intersection)
    return (intersection + smooth) / (union + smooth)


@primitive(family=FAMILY)
def tversky_index(prediction: Expr, target: Expr, alpha: Expr, beta: Expr, smooth: Expr, *, over: Axes = BATCH) -> Expr:
    """(TP + s)/(TP + α·FP + β·FN + s), in [0, 1]; α weighs false positives, β false negatives, both ≥ 0.

    Dice at α = β = 1/2 (with half the smoothing), Jaccard at α = β = 1. Tversky 1977, Salehi et al. 2017.
    """
    hits = soft_intersection(prediction, target, over=over)
    false_positives = soft_false_positives(prediction, target, over=over)
    false_negatives = soft_false_negatives(prediction, target, over=over)
    return (hits + smooth) / (hits + alpha * false_positives + beta * false_negatives + smooth)


@primitive(family=FAMILY)
def tversky_distance(
    prediction: Expr, target: Expr, alpha: Expr, beta: Expr, smooth: Expr, *, over: Axes = BATCH
) -> Expr:
    """1 - Tversky index = (α·FP + β·FN)/(TP + α·FP + β·FN + s), in [0, 1], exact where it is near zero."""
    hits = soft_intersection(prediction, target, over=over)
    errors = alpha * soft_false_positives(prediction, target, over=over)
    errors = errors + beta * soft_false_negatives(prediction, target, over=over)
    return errors / (hits + errors + smooth)
