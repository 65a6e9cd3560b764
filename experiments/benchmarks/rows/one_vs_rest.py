"""Every class against the rest, and targets that are distributions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from kornia.losses import binary_focal_loss_with_logits
from torch import Tensor

from .row import Form, Inputs, Row

SIZES = {"small": (256, 10), "large": (4, 21, 256, 256), "tiny": (3, 4, 5)}


def several(*size: int) -> tuple[Tensor, Tensor]:
    """Logits, and for each class whether it is there."""
    return torch.randn(size), torch.randint(2, size).float()


def distributions(*size: int) -> tuple[Tensor, Tensor]:
    """Logits, and a distribution over classes for each element."""
    return torch.randn(size), torch.randn(size).softmax(1)


SMOOTH = 1e-5

MULTI_LABEL = Inputs(several, **SIZES)
SOFT = Inputs(distributions, **SIZES)


def binary_by_softplus(logits: Tensor, target: Tensor) -> Tensor:
    return (F.softplus(logits) - target * logits).mean()


def binary_focal_by_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """γ = 2, α = 0.25, as torchvision writes it."""
    p = torch.sigmoid(logits)
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    own = p * target + (1 - p) * (1 - target)
    return ((0.25 * target + 0.75 * (1 - target)) * (1 - own) ** 2 * cross_entropy).mean()


def binary_hinge_by_clamp(logits: Tensor, target: Tensor) -> Tensor:
    return (1 - (2 * target - 1) * logits).clamp(min=0).mean()


def logistic_by_softplus(logits: Tensor, target: Tensor) -> Tensor:
    return F.softplus((1 - 2 * target) * logits).mean()


def kl_by_logarithms(logits: Tensor, target: Tensor) -> Tensor:
    return (target * (target.log() - F.log_softmax(logits, 1))).sum(1).mean()


def _kl_div(logits: Tensor, target: Tensor) -> Tensor:
    return F.kl_div(F.log_softmax(logits, 1), target, reduction="none").sum(1).mean()


def _sums(x: Tensor) -> Tensor:
    return x.transpose(0, 1).flatten(1).sum(1)


def binary_dice_by_sums(logits: Tensor, target: Tensor) -> Tensor:
    p = logits.sigmoid()
    sizes = _sums(p.square()) + _sums(target)
    return (1 - (2 * _sums(p * target) + SMOOTH) / (sizes + SMOOTH)).mean()


def binary_jaccard_by_sums(logits: Tensor, target: Tensor) -> Tensor:
    p = logits.sigmoid()
    common = _sums(p * target)
    return (1 - (common + SMOOTH) / (_sums(p + target) - common + SMOOTH)).mean()


def binary_tversky_by_sums(logits: Tensor, target: Tensor) -> Tensor:
    """α = 0.3, β = 0.7."""
    p = logits.sigmoid()
    common = _sums(p * target)
    return (1 - (common + SMOOTH) / (0.3 * _sums(p) + 0.7 * _sums(target) + SMOOTH)).mean()


def binary_cross_entropy_dice_by_sums(logits: Tensor, target: Tensor) -> Tensor:
    p = logits.sigmoid()
    dice = 1 - (2 * _sums(p * target) + SMOOTH) / (_sums(p) + _sums(target) + SMOOTH)
    return F.binary_cross_entropy_with_logits(logits, target) + dice.mean()


def asymmetric_by_powers(logits: Tensor, target: Tensor) -> Tensor:
    """γ₊ = 0, γ₋ = 4, m = 0.05."""
    shifted = (logits.sigmoid() - 0.05).clamp(min=0)
    return -(target * F.logsigmoid(logits) + (1 - target) * shifted**4 * torch.log1p(-shifted)).mean()


def quality_focal_by_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """β = 2."""
    cross_entropy = F.binary_cross_entropy_with_logits(logits, target, reduction="none")
    return ((target - logits.sigmoid()).square() * cross_entropy).mean()


def varifocal_by_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """γ = 2, α = 0.75."""
    weight = torch.where(target > 0, target, 0.75 * logits.sigmoid().square())
    return (weight * F.binary_cross_entropy_with_logits(logits, target, reduction="none")).mean()


def _signed(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    return logits, 2 * target - 1


def _kornia_focal(logits: Tensor, target: Tensor) -> Tensor:
    return binary_focal_loss_with_logits(logits, target, alpha=0.25, gamma=2.0, reduction="mean")


ROWS = [
    Row(
        "binary_cross_entropy",
        MULTI_LABEL,
        (Form("torch binary_cross_entropy_with_logits", F.binary_cross_entropy_with_logits),),
        (binary_by_softplus,),
    ),
    Row(
        "binary_focal",
        MULTI_LABEL,
        (Form("kornia binary_focal_loss_with_logits", _kornia_focal),),
        (binary_focal_by_cross_entropy,),
    ),
    Row("binary_hinge", MULTI_LABEL, (), (binary_hinge_by_clamp,)),
    Row(
        "logistic", MULTI_LABEL, (Form("torch soft_margin_loss", F.soft_margin_loss, _signed),), (logistic_by_softplus,)
    ),
    Row("binary_dice", MULTI_LABEL, (), (binary_dice_by_sums,)),
    Row("binary_jaccard", MULTI_LABEL, (), (binary_jaccard_by_sums,)),
    Row("binary_tversky", MULTI_LABEL, (), (binary_tversky_by_sums,)),
    Row("binary_cross_entropy_dice", MULTI_LABEL, (), (binary_cross_entropy_dice_by_sums,)),
    Row("asymmetric", MULTI_LABEL, (), (asymmetric_by_powers,)),
    Row("quality_focal", MULTI_LABEL, (), (quality_focal_by_cross_entropy,)),
    Row("varifocal", MULTI_LABEL, (), (varifocal_by_cross_entropy,)),
    Row("kl_divergence", SOFT, (Form("torch kl_div", _kl_div),), (kl_by_logarithms,)),
]
