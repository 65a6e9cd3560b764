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
