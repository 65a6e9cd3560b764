"""Unified focal loss: MONAI's Tversky loss, and its focal loss where there are two classes, else the formula."""

from __future__ import annotations

from typing import Any

import torch
from monai.losses.unified_focal_loss import AsymmetricFocalLoss
from torch import Tensor

from .. import oracles
from ..harness import Case
from ..samples import Samples


def _focal(logits: Tensor, target: Tensor, delta: float, gamma: float, asymmetric: bool) -> Tensor:
    """Equations 13 and 15 of Yeung et al. as their code has them; class 0 is the background."""
    p = torch.softmax(logits, 1)
    if asymmetric and p.shape[1] == 2 and p.numel():
        maps = [x.transpose(0, 1).flatten(1)[None] for x in (p, target)]
        return 2 * AsymmetricFocalLoss(delta=delta, gamma=gamma)(*maps)  # MONAI's mean is over both classes, too
    each = -target * torch.log_softmax(logits, 1)
    background = (1 - delta) * (1 - p[:, 0]) ** gamma * each[:, 0]
    others = delta * each[:, 1:] * (1.0 if asymmetric else (1 - p[:, 1:]) ** gamma)
    return (background + others.sum(1)).mean()


def _tversky(
    logits: Tensor, target: Tensor, delta: float, gamma: float, smooth: float, asymmetric: bool, per: str
) -> Tensor:
    """Equations 14 and 16 of Yeung et al. over MONAI's Tversky loss."""
    loss = oracles.tversky(logits, target, alpha=1 - delta, beta=delta, smooth=smooth, per=per)
    exponents = torch.full(logits.shape[1:2], 1 - gamma, dtype=logits.dtype)
    if asymmetric:
        exponents[0] = 1.0
    return (loss**exponents).mean()


def unified_focal(
    logits: Tensor,
    target: Tensor,
    weight: float,
    delta: float,
    gamma: float,
    smooth: float,
    asymmetric: bool = True,
    per: str = "batch",
) -> Tensor:
    """Equations 17 and 18 of Yeung et al."""
    regions = _tversky(logits, target, delta, gamma, smooth, asymmetric, per)
    return weight * _focal(logits, target, delta, gamma, asymmetric) + (1 - weight) * regions


def of_kept(logits: Tensor, target: Tensor, kept: Tensor, weight: float, **arguments: Any) -> Tensor:
    """The focal loss over the kept elements, the Tversky loss over those of each image."""
    flat = [x.movedim(1, -1)[kept] for x in (logits, target)]
    images = [(x[:, k][None], t[:, k][None]) for x, t, k in zip(logits, target, kept, strict=True) if k.any()]
    regions = torch.stack([unified_focal(*image, weight=0.0, **arguments) for image in images]).mean()
    return weight * unified_focal(*flat, weight=1.0, **arguments) + (1 - weight) * regions


_USUAL: dict[str, Any] = {"weight": 0.5, "delta": 0.6, "gamma": 0.5, "smooth": 1e-2}
_OTHER: dict[str, Any] = {"weight": 0.2, "delta": 0.9, "gamma": 0.2, "smooth": 1.0}

CASES = [
    Case("unified_focal", unified_focal, _USUAL),
    Case("unified_focal", unified_focal, {**_OTHER, "asymmetric": False}),
    Case("unified_focal", unified_focal, {**_OTHER, "per": "image"}, of_kept=of_kept),
]

ORDINARY: dict[str, Samples] = {}
EMPTY: dict[str, Samples] = {}
EXTREME: dict[str, Samples] = {}
