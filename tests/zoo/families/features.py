"""Feature maps: PyTorch's losses scaled as the papers say, and the contextual loss as its equations."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..harness import Case
from ..samples import Samples


def _per_image(errors: Tensor) -> Tensor:
    return errors.reshape(len(errors), -1)


def content(features: Tensor, target: Tensor) -> Tensor:
    """Equation 1 of Gatys et al."""
    return _per_image(F.mse_loss(features, target, reduction="none")).sum(1) / 2


def perceptual(features: Tensor, target: Tensor) -> Tensor:
    """Section 3.1 of Johnson et al."""
    return _per_image(F.mse_loss(features, target, reduction="none")).mean(1)


def feature_matching(features: Tensor, target: Tensor) -> Tensor:
    """Equation 4 of Wang et al., one layer."""
    return _per_image(F.l1_loss(features, target, reduction="none")).mean(1)


def contextual(features: Tensor, target: Tensor, bandwidth: float, eps: float) -> Tensor:
    """Equations 1 to 5 of Mechrez et al., image by image."""
    losses = []
    for x, y in zip(features, target, strict=True):
        rows, others = x.flatten(1).T if x.ndim > 1 else x[None], y.flatten(1).T if y.ndim > 1 else y[None]
        centre = others.mean(0)
        distance = 1 - F.cosine_similarity((rows - centre)[:, None], (others - centre)[None], dim=2)
        relative = distance / (distance.amin(1, keepdim=True) + eps)
        weight = torch.exp((1 - relative) / bandwidth)
        share = weight / weight.sum(1, keepdim=True)
        losses.append(-share.amax(0).mean().log())
    return torch.stack(losses)


CASES = [
    Case("content", content),
    Case("perceptual", perceptual),
    Case("feature_matching", feature_matching, twice=False),
    *(Case("contextual", contextual, {"bandwidth": h, "eps": 1e-5}) for h in (0.5, 0.1)),
    Case("contextual", contextual, {"bandwidth": 2.0, "eps": 0.1}),
]

ORDINARY: dict[str, Samples] = {}
EMPTY: dict[str, Samples] = {}
EXTREME: dict[str, Samples] = {}
