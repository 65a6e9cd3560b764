"""Overlap losses of the dense family: one minus the overlap of the predicted and the true region of each class.

The root keeps the class axis; its mean is the mean over classes, absent ones included (an absent class that is
predicted absent has loss 0). `per="batch"` sums over the whole batch and space and so serves classification too;
`per="image"` sums over the space of each image and keeps the batch axis. `smooth` is added to numerator and
denominator.
"""

from __future__ import annotations

from lossearch import primitives as pr
from lossearch.ir import functions as fn
from lossearch.ir.axes import Axes
from lossearch.ir.expr import Expr
from lossearch.ir.graph import Parameter
from lossearch.zoo.registry import choose, hand_designed

SIGNATURE = "dense"
SMOOTH = Parameter("smooth", 1e-5, 1e-6, 1e3, tunable=True, log=True, search=(1e-6, 10.0))
AXES_PER: dict[str, Axes] = {"batch": ("batch", "space"), "image": ("space",)}


@hand_designed(signature=SIGNATURE, source="Milletari et al. 2016", parameters=[SMOOTH])
def dice(logits: Expr, target: Expr, smooth: Expr, *, per: str = "batch", squared: bool = True) -> Expr:
    """Soft Dice loss 1 - (2Σpt + s)/(Σp² + Σt² + s) of each class.

    `per` is "batch" or "image". `squared=False` has Σp + Σt in the denominator (Sudre et al. 2017).
    """
    over = choose("per", per, AXES_PER)
    coefficient = choose("squared", squared, {True: pr.squared_dice_coefficient, False: pr.dice_coefficient})
    return 1 - coefficient(fn.softmax(logits, "class"), target, smooth, over=over)


@hand_designed(signature=SIGNATURE, source="Rahman and Wang 2016", parameters=[SMOOTH])
def jaccard(logits: Expr, target: Expr, smooth: Expr, *, per: str = "batch") -> Expr:
    """Soft Jaccard (IoU) loss 1 - (Σpt + s)/(Σ(p + t - pt) + s) of each class. `per` is "batch" or "image"."""
    over = choose("per", per, AXES_PER)
    return 1 - pr.jaccard_index(fn.softmax(logits, "class"), target, smooth, over=over)


@hand_designed(
    signature=SIGNATURE,
    source="Salehi et al. 2017",
    parameters=[
        Parameter("alpha", 0.3, 0.0, 10.0, tunable=True, search=(0.0, 2.0)),
        Parameter("beta", 0.7, 0.0, 10.0, tunable=True, search=(0.0, 2.0)),
        SMOOTH,
    ],
)
def tversky(logits: Expr, target: Expr, alpha: Expr, beta: Expr, smooth: Expr, *, per: str = "batch") -> Expr:
    """Tversky loss 1 - (TP + s)/(TP + α·FP + β·FN + s) of each class.

    α weighs false positives, β false negatives, with the defaults that the paper found best. `per` is "batch" or
    "image".
    """
    over = choose("per", per, AXES_PER)
    return 1 - pr.tversky_index(fn.softmax(logits, "class"), target, alpha, beta, smooth, over=over)
