"""Overlap losses of the dense family: one minus the overlap of the predicted and the true region of each class.

The root keeps the class axis; its mean is the mean over classes, absent ones included (an absent class that is
predicted absent has loss 0). `per="batch"` sums over the whole batch and space and so serves classification too;
`per="image"` sums over the space of each image and keeps the batch axis. `smooth` is added to numerator and
denominator. `background=False` leaves class 0 out of the mean and the sum.
"""

from __future__ import annotations

import lossearch.primitives as pr
from lossearch.ir.core.axes import Axes
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.interval import UNIT
from lossearch.ir.core.parameter import NON_NEGATIVE, POSITIVE, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import choose, hand_designed

SIGNATURE = "dense"
SMOOTH = Parameter("smooth", 1e-5, 1e-6, 1e3, tunable=True, log=True, search=(1e-6, 10.0), defined=NON_NEGATIVE)
AXES_PER: dict[str, Axes] = {"batch": ("batch", "space"), "image": ("space",)}
TVERSKY = [
    Parameter("alpha", 0.3, 0.0, 10.0, tunable=True, search=(0.0, 2.0), defined=NON_NEGATIVE),
    Parameter("beta", 0.7, 0.0, 10.0, tunable=True, search=(0.0, 2.0), defined=NON_NEGATIVE),
]


def foreground(logits: Expr) -> Expr:
    """Weight of each class where the background, class 0, has none."""
    return fn.where(fn.greater(fn.position(logits, "class"), 0.0), 1.0, 0.0)


def over_foreground(root: Expr, logits: Expr, background: bool) -> Expr | tuple[Expr, Expr]:
    """A loss of each class, with a weight that leaves the background out unless it is wanted."""
    return choose("background", background, {True: root, False: (root, foreground(logits))})


@hand_designed(signature=SIGNATURE, source="Milletari et al. 2016", parameters=[SMOOTH])
def dice(
    logits: Expr, target: Expr, smooth: Expr, *, per: str = "batch", squared: bool = True, background: bool = True
) -> Expr | tuple[Expr, Expr]:
    """Soft Dice loss 1 - (2Σpt + s)/(Σp² + Σt² + s) of each class.

    `per` is "batch" or "image". `squared=False` has Σp + Σt in the denominator (Sudre et al. 2017). The defaults sum
    over the whole batch, with squares, and classes that no element has count with loss 0 if none is predicted:
    `monai.losses.DiceLoss` sums over each image without squares, and smooths by 1e-5 too.
    """
    over = choose("per", per, AXES_PER)
    coefficient = choose("squared", squared, {True: pr.squared_dice_coefficient, False: pr.dice_coefficient})
    loss = 1 - coefficient(fn.softmax(logits, "class"), target, smooth, over=over)
    return over_foreground(loss, logits, background)


@hand_designed(signature=SIGNATURE, source="Rahman and Wang 2016", parameters=[SMOOTH])
def jaccard(
    logits: Expr, target: Expr, smooth: Expr, *, per: str = "batch", background: bool = True
) -> Expr | tuple[Expr, Expr]:
    """Soft Jaccard (IoU) loss 1 - (Σpt + s)/(Σ(p + t - pt) + s) of each class. `per` is "batch" or "image"."""
    over = choose("per", per, AXES_PER)
    loss = 1 - pr.jaccard_index(fn.softmax(logits, "class"), target, smooth, over=over)
    return over_foreground(loss, logits, background)


@hand_designed(signature=SIGNATURE, source="Salehi et al. 2017", parameters=[*TVERSKY, SMOOTH])
def tversky(
    logits: Expr,
    target: Expr,
    alpha: Expr,
    beta: Expr,
    smooth: Expr,
    *,
    per: str = "batch",
    background: bool = True,
) -> Expr | tuple[Expr, Expr]:
    """Tversky loss 1 - (TP + s)/(TP + α·FP + β·FN + s) of each class.

    α weighs false positives, β false negatives, with the defaults that the paper found best. `per` is "batch" or
    "image".
    """
    over = choose("per", per, AXES_PER)
    loss = 1 - pr.tversky_index(fn.softmax(logits, "class"), target, alpha, beta, smooth, over=over)
    return over_foreground(loss, logits, background)


@hand_designed(
    signature=SIGNATURE,
    source="Abraham and Khan 2019",
    parameters=[*TVERSKY, Parameter("gamma", 4 / 3, 1.0, 3.0, tunable=True, defined=POSITIVE), SMOOTH],
)
def focal_tversky(
    logits: Expr,
    target: Expr,
    alpha: Expr,
    beta: Expr,
    gamma: Expr,
    smooth: Expr,
    *,
    per: str = "batch",
    background: bool = True,
) -> Expr | tuple[Expr, Expr]:
    """Focal Tversky loss (1 - TI)^(1/γ) of each class, with TI as in `tversky`: γ > 1 attends to what is badly found.

    α weighs false positives and β false negatives, whom the paper calls the other way round. `per` is "batch" or
    "image".
    """
    over = choose("per", per, AXES_PER)
    loss = pr.tversky_distance(fn.softmax(logits, "class"), target, alpha, beta, smooth, over=over) ** (1 / gamma)
    return over_foreground(loss, logits, background)


@hand_designed(
    signature=SIGNATURE,
    source="Isensee et al. 2018",
    parameters=[
        Parameter("ce_weight", 1.0, 0.01, 100.0, defined=NON_NEGATIVE),
        Parameter("dice_weight", 1.0, 0.01, 100.0, tunable=True, log=True, search=(0.1, 10.0), defined=NON_NEGATIVE),
        SMOOTH,
    ],
)
def cross_entropy_dice(
    logits: Expr,
    target: Expr,
    ce_weight: Expr,
    dice_weight: Expr,
    smooth: Expr,
    *,
    per: str = "batch",
    squared: bool = False,
    background: bool = True,
) -> Expr:
    """Mean cross-entropy plus mean soft Dice loss, each times its weight: one number.

    It is not the sum of the zoo's `cross_entropy` and `dice`: the Dice loss has no squares here unless `squared=True`.
    `per`, `squared` and `background` are as in `dice` and concern the Dice loss alone.
    """
    over = choose("per", per, AXES_PER)
    coefficient = choose("squared", squared, {True: pr.squared_dice_coefficient, False: pr.dice_coefficient})
    loss = 1 - coefficient(fn.softmax(logits, "class"), target, smooth, over=over)
    overlap = loss if per == "batch" else fn.mean(loss, "batch")
    shown = foreground(logits)
    mean_overlap = choose(
        "background",
        background,
        {True: fn.mean(overlap, "class"), False: fn.contract(overlap, shown, "class") / fn.sum(shown, "class")},
    )
    return ce_weight * fn.mean(pr.cross_entropy(logits, target), ("batch", "space")) + dice_weight * mean_overlap


@hand_designed(
    signature=SIGNATURE,
    source="Yeung et al. 2022",
    parameters=[
        Parameter("weight", 0.5, 0.0, 1.0, tunable=True, defined=UNIT),
        Parameter("delta", 0.6, 0.01, 0.99, tunable=True, search=(0.3, 0.95), defined=UNIT),
        Parameter("gamma", 0.5, 0.0, 0.9, tunable=True, defined=(0.0, 0.99)),
        SMOOTH,
    ],
)
def unified_focal(
    logits: Expr,
    target: Expr,
    weight: Expr,
    delta: Expr,
    gamma: Expr,
    smooth: Expr,
    *,
    asymmetric: bool = True,
    per: str = "batch",
) -> Expr:
    """Unified focal loss λ·F + (1 - λ)·T of a focal and a focal Tversky loss, for rare foreground: one number.

    F is the mean of -Σ_c a_c t_c (1 - p_c)^γ log p_c, where a is 1 - δ for the background, class 0, and δ for the
    others; T the mean over classes of (1 - TI_c)^(1 - γ), TI as in `tversky` with δ on false negatives and 1 - δ on
    false positives. `weight` is λ. The factor (1 - p)^γ is the background's alone, and the exponent 1 - γ the
    foreground's; `asymmetric=False` gives both to all classes. As the authors' code; `per` concerns T and is "batch"
    or "image".
    """
    over, probability = choose("per", per, AXES_PER), fn.softmax(logits, "class")
    shown = fn.greater(fn.position(logits, "class"), 0.0)
    # What has no factor or exponent of its own has one of γ = 0.
    of_background, of_foreground = choose(
        "asymmetric",
        asymmetric,
        {True: (fn.where(shown, 0.0, gamma), fn.where(shown, gamma, 0.0)), False: (gamma, gamma)},
    )
    focused = fn.where(shown, delta, 1 - delta) * pr.modulating_factor(probability, of_background)
    focal = -fn.contract(target, focused * fn.log_softmax(logits, "class"), "class")
    # TP + δ·FN + (1 - δ)·FP = δ·Σt + (1 - δ)·Σp, the mean size, which no true positives exceed but by rounding.
    size = delta * fn.sum(target, over) + (1 - delta) * fn.sum(probability, over)
    distance = fn.relu(size - fn.contract(probability, target, over)) / (size + smooth)
    regions = distance ** (1 - of_foreground)
    overlap = regions if per == "batch" else fn.mean(regions, "batch")
    return weight * fn.mean(focal, ("batch", "space")) + (1 - weight) * fn.mean(overlap, "class")
