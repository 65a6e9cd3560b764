"""Each class against the rest: MONAI's overlaps behind a sigmoid, PyTorch's binary cross-entropy, and formulas."""

from __future__ import annotations

import math
from typing import Any

import torch
import torch.nn.functional as F
from monai.losses.dice import DiceLoss
from monai.losses.tversky import TverskyLoss
from torch import Tensor

from ..harness import Case
from ..samples import Samples


def overlap(loss: type[Any], **options: Any) -> Any:
    """MONAI's overlap loss of each class."""

    def oracle(
        logits: Tensor, target: Tensor, smooth: float, per: str = "batch", squared: bool | None = None, **given: float
    ) -> Tensor:
        factor = 2 if options.get("jaccard") else 1  # MONAI doubles numerator and denominator of this one
        if squared is not None:
            given["squared_pred"] = squared
        made = loss(
            sigmoid=True,
            batch=per == "batch",
            reduction="none",
            smooth_nr=factor * smooth,
            smooth_dr=factor * smooth,
            **given,
            **options,
        )
        maps = [x.reshape(*x.shape[:2], math.prod(x.shape[2:])) for x in (logits, target)]
        return made(*maps).reshape(logits.shape[1:2] if per == "batch" else logits.shape[:2])

    return oracle


def binary_cross_entropy_dice(
    logits: Tensor,
    target: Tensor,
    smooth: float,
    bce_weight: float,
    dice_weight: float,
    per: str = "batch",
    squared: bool = False,
) -> Tensor:
    entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none").transpose(0, 1).flatten(1).mean(1)
    dice = overlap(DiceLoss)(logits, target, smooth, per, squared)
    return bce_weight * entropy + dice_weight * (dice if per == "batch" else dice.mean(0))


def binary_cross_entropy_dice_of_kept(
    logits: Tensor, target: Tensor, kept: Tensor, bce_weight: float, dice_weight: float, **arguments: Any
) -> Tensor:
    """Cross-entropy over the kept elements, and Dice over those of each image."""
    elements = F.binary_cross_entropy_with_logits(logits.movedim(1, -1)[kept], target.movedim(1, -1)[kept])
    images = [(x[:, k][None], t[:, k][None]) for x, t, k in zip(logits, target, kept, strict=True) if k.any()]
    dice = torch.stack([overlap(DiceLoss)(*image, squared=False, **arguments).mean() for image in images]).mean()
    return bce_weight * elements + dice_weight * dice


def asymmetric(logits: Tensor, target: Tensor, gamma_positive: float, gamma_negative: float, clip: float) -> Tensor:
    """Equations 5 to 7 of Ridnik et al. for each label, averaged over the target."""
    p = torch.sigmoid(logits)
    shifted = (p - clip).clamp(min=0)
    present = (1 - p) ** gamma_positive * F.logsigmoid(logits)
    return -target * present - (1 - target) * shifted**gamma_negative * torch.log1p(-shifted)


def quality_focal(logits: Tensor, target: Tensor, beta: float) -> Tensor:
    """Equation 5 of Li et al."""
    p = torch.sigmoid(logits)
    return -((target - p).abs() ** beta) * (target * p.log() + (1 - target) * (1 - p).log())


def varifocal(logits: Tensor, target: Tensor, gamma: float, alpha: float) -> Tensor:
    """Equation 2 of Zhang et al."""
    p = torch.sigmoid(logits)
    above = -target * (target * p.log() + (1 - target) * (1 - p).log())
    return torch.where(target > 0, above, -alpha * p**gamma * (1 - p).log())


_TVERSKY: dict[str, Any] = {"alpha": 0.3, "beta": 0.7, "smooth": 1e-2}
_WEIGHTS: dict[str, Any] = {"bce_weight": 0.3, "dice_weight": 2.0, "smooth": 1.0}

CASES = [
    Case("binary_dice", overlap(DiceLoss, squared_pred=True), {"smooth": 1e-2}),
    Case("binary_dice", overlap(DiceLoss), {"smooth": 1.0, "per": "image", "squared": False}),
    Case("binary_jaccard", overlap(DiceLoss, jaccard=True), {"smooth": 1e-2}),
    Case("binary_tversky", overlap(TverskyLoss), {**_TVERSKY, "per": "image"}),
    Case("binary_cross_entropy_dice", binary_cross_entropy_dice, _WEIGHTS),
    Case(
        "binary_cross_entropy_dice",
        binary_cross_entropy_dice,
        {**_WEIGHTS, "per": "image"},
        of_kept=binary_cross_entropy_dice_of_kept,
    ),
    Case("asymmetric", asymmetric, {"gamma_positive": 0.0, "gamma_negative": 4.0, "clip": 0.05}),
    Case("asymmetric", asymmetric, {"gamma_positive": 1.0, "gamma_negative": 2.0, "clip": 0.0}),
    Case("quality_focal", quality_focal, {"beta": 2.0}),
    Case("varifocal", varifocal, {"gamma": 2.0, "alpha": 0.75}),
]

ORDINARY: dict[str, Samples] = {}
EMPTY: dict[str, Samples] = {}
EXTREME: dict[str, Samples] = {}
