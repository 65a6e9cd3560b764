"""Losses of the dense family that set every class against the rest: a sigmoid for each instead of one softmax.

The root keeps the class axis, and its mean is over classes too. A target in [0, 1] may have several classes or none,
as multi-label data have; with one class channel these are the usual binary losses. Integer labels become one-hot.
`weight` multiplies each class's values, as in `torch.nn.functional.binary_cross_entropy`: the mean divides by their
number.
"""

from __future__ import annotations

import lossearch.primitives as pr
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.interval import UNIT
from lossearch.ir.core.parameter import NON_NEGATIVE, REAL, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import ONE, Numbers, choose, each, hand_designed, within

SIGNATURE = "dense"


@hand_designed(signature=SIGNATURE, source="Good 1952")
def binary_cross_entropy(logits: Expr, target: Expr, *, pos_weight: Numbers = ONE) -> Expr:
    """Binary cross-entropy of each class, as `torch.nn.functional.binary_cross_entropy_with_logits`.

    `pos_weight` is what a present class costs more than an absent one: a number, or one for each class.
    """
    if within("pos_weight", pos_weight, 0.0) == 1.0:
        return pr.binary_cross_entropy(logits, target)
    present = each(pos_weight, logits, "class") * (target * fn.softplus(-logits))
    return present + (1 - target) * fn.softplus(logits)


@hand_designed(
    signature=SIGNATURE,
    source="Lin et al. 2017",
    parameters=[
        Parameter("gamma", 2.0, 0.0, 10.0, tunable=True, defined=NON_NEGATIVE),
        Parameter("alpha", 0.25, 0.01, 0.99, tunable=True, defined=UNIT),
    ],
)
def binary_focal(logits: Expr, target: Expr, gamma: Expr, alpha: Expr, *, balanced: bool = True) -> Expr:
    """Focal loss of each class, -α·t(1 - p)^γ log p - (1 - α)(1 - t)p^γ log(1 - p) with p = σ(x).

    As `torchvision.ops.sigmoid_focal_loss`, whose mean too is over all elements and classes; RetinaNet divides the sum
    by the number of positives instead. `balanced=False` leaves α and 1 - α out; binary cross-entropy at γ = 0.
    """
    present = target * pr.binary_focal_term(logits, gamma)
    absent = (1 - target) * pr.binary_focal_term(-logits, gamma)
    weights = choose("balanced", balanced, {True: (alpha, 1 - alpha), False: (1.0, 1.0)})
    return weights[0] * present + weights[1] * absent


@hand_designed(
    signature=SIGNATURE,
    source="Cortes and Vapnik 1995",
    parameters=[Parameter("margin", 1.0, 0.0, 100.0, tunable=True, search=(0.0, 10.0), defined=REAL)],
)
def binary_hinge(logits: Expr, target: Expr, margin: Expr) -> Expr:
    """Hinge loss of each class, max(m - (2t - 1)x, 0)."""
    return pr.hinge(pr.signed_logits(logits, target), margin)


@hand_designed(signature=SIGNATURE, source="Friedman et al. 2000")
def logistic(logits: Expr, target: Expr) -> Expr:
    """Logistic loss of each class, log(1 + e^(-(2t - 1)x)), as `torch.nn.functional.soft_margin_loss`.

    Equal to binary cross-entropy for targets of 0 and 1; for those between it is the smaller. The paper's F is x/2.
    """
    return fn.softplus(-pr.signed_logits(logits, target))


def _asymmetric_without_clip(logits: Expr, target: Expr, gamma_positive: Expr, gamma_negative: Expr) -> Expr:
    absent = (1 - target) * pr.binary_focal_term(-logits, gamma_negative)
    return target * pr.binary_focal_term(logits, gamma_positive) + absent


@hand_designed(
    signature=SIGNATURE,
    source="Ridnik et al. 2021",
    parameters=[
        Parameter("gamma_positive", 0.0, 0.0, 10.0, tunable=True, search=(0.0, 3.0), defined=NON_NEGATIVE),
        Parameter("gamma_negative", 4.0, 0.0, 10.0, tunable=True, search=(0.0, 8.0), defined=NON_NEGATIVE),
        Parameter("clip", 0.05, 0.001, 0.5, tunable=True, log=True, search=(0.01, 0.3), defined=(1e-6, 0.99)),
    ],
    limits={("clip", 0.0): _asymmetric_without_clip},
)
def asymmetric(logits: Expr, target: Expr, gamma_positive: Expr, gamma_negative: Expr, clip: Expr) -> Expr:
    """Asymmetric loss of each class, -t(1 - p)^γ₊ log p - (1 - t)q^γ₋ log(1 - q) with p = σ(x), q = max(p - m, 0).

    `clip` is m: absent classes whose probability is below it cost nothing. For many classes of which few are present.
    """
    shifted = fn.relu(fn.sigmoid(logits) - clip)
    absent = -(shifted**gamma_negative * fn.log(1 - shifted))
    return target * pr.binary_focal_term(logits, gamma_positive) + (1 - target) * absent


@hand_designed(
    signature=SIGNATURE,
    source="Li et al. 2020",
    parameters=[Parameter("beta", 2.0, 0.0, 10.0, tunable=True, search=(0.0, 5.0), defined=NON_NEGATIVE)],
)
def quality_focal(logits: Expr, target: Expr, beta: Expr) -> Expr:
    """Quality focal loss |t - p|^β·BCE(p, t) of each class, p = σ(x).

    A target between 0 and 1 is the quality of a detection, such as its IoU. The paper divides the sum by the number of
    positives.
    """
    return fn.abs(target - fn.sigmoid(logits)) ** beta * pr.binary_cross_entropy(logits, target)


@hand_designed(
    signature=SIGNATURE,
    source="Zhang et al. 2021",
    parameters=[
        Parameter("gamma", 2.0, 0.0, 10.0, tunable=True, search=(0.0, 5.0), defined=NON_NEGATIVE),
        Parameter("alpha", 0.75, 0.01, 10.0, tunable=True, log=True, search=(0.05, 2.0), defined=NON_NEGATIVE),
    ],
)
def varifocal(logits: Expr, target: Expr, gamma: Expr, alpha: Expr) -> Expr:
    """Varifocal loss of each class: t·BCE(p, t) where t > 0, else -α·p^γ log(1 - p), p = σ(x).

    A target above 0 is the quality of a detection, such as its IoU; the paper divides the sum by the number of those.
    """
    present = target * pr.binary_cross_entropy(logits, target)
    return fn.where(fn.greater(target, 0.0), present, alpha * pr.binary_focal_term(-logits, gamma))
