"""Overlap losses of each class against the rest: a sigmoid for each class instead of one softmax.

With one class channel these are the usual losses of a foreground; a target may also have several classes, or none, at
an element. Roots, `per`, `smooth` and absent classes are those of `lossearch.zoo.overlap`; there is no background.
"""

from __future__ import annotations

import lossearch.primitives as pr
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import NON_NEGATIVE, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.overlap import AXES_PER, SMOOTH, TVERSKY
from lossearch.zoo.registry import choose, hand_designed

SIGNATURE = "dense"


@hand_designed(signature=SIGNATURE, source="Milletari et al. 2016", parameters=[SMOOTH])
def binary_dice(logits: Expr, target: Expr, smooth: Expr, *, per: str = "batch", squared: bool = True) -> Expr:
    """Soft Dice loss 1 - (2Σpt + s)/(Σp² + Σt² + s) of each class, p = σ(x).

    `per` is "batch" or "image"; `squared=False` has Σp + Σt in the denominator (Sudre et al. 2017).
    """
    over = choose("per", per, AXES_PER)
    coefficient = choose("squared", squared, {True: pr.squared_dice_coefficient, False: pr.dice_coefficient})
    return 1 - coefficient(fn.sigmoid(logits), target, smooth, over=over)


@hand_designed(signature=SIGNATURE, source="Rahman and Wang 2016", parameters=[SMOOTH])
def binary_jaccard(logits: Expr, target: Expr, smooth: Expr, *, per: str = "batch") -> Expr:
    """Soft Jaccard (IoU) loss 1 - (Σpt + s)/(Σ(p + t - pt) + s) of each class, p = σ(x). `per`: "batch" or "image"."""
    return 1 - pr.jaccard_index(fn.sigmoid(logits), target, smooth, over=choose("per", per, AXES_PER))


@hand_designed(signature=SIGNATURE, source="Salehi et al. 2017", parameters=[*TVERSKY, SMOOTH])
def binary_tversky(logits: Expr, target: Expr, alpha: Expr, beta: Expr, smooth: Expr, *, per: str = "batch") -> Expr:
    """Tversky loss 1 - (TP + s)/(TP + α·FP + β·FN + s) of each class, p = σ(x).

    α weighs false positives, β false negatives. `per` is "batch" or "image".
    """
    return 1 - pr.tversky_index(fn.sigmoid(logits), target, alpha, beta, smooth, over=choose("per", per, AXES_PER))


@hand_designed(
    signature=SIGNATURE,
    source="Isensee et al. 2021",
    parameters=[
        Parameter("bce_weight", 1.0, 0.01, 100.0, defined=NON_NEGATIVE),
        Parameter("dice_weight", 1.0, 0.01, 100.0, tunable=True, log=True, search=(0.1, 10.0), defined=NON_NEGATIVE),
        SMOOTH,
    ],
)
def binary_cross_entropy_dice(
    logits: Expr,
    target: Expr,
    bce_weight: Expr,
    dice_weight: Expr,
    smooth: Expr,
    *,
    per: str = "batch",
    squared: bool = False,
) -> Expr:
    """Mean binary cross-entropy plus soft Dice loss of each class, each times its weight.

    `per` and `squared` are as in `binary_dice` and concern the Dice loss alone.
    """
    over = choose("per", per, AXES_PER)
    coefficient = choose("squared", squared, {True: pr.squared_dice_coefficient, False: pr.dice_coefficient})
    overlap = 1 - coefficient(fn.sigmoid(logits), target, smooth, over=over)
    overlap = overlap if per == "batch" else fn.mean(overlap, "batch")
    entropy = fn.mean(pr.binary_cross_entropy(logits, target), ("batch", "space"))
    return bce_weight * entropy + dice_weight * overlap
