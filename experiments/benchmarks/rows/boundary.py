"""Losses on regions: distances to boundaries, and Lovász extensions."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .dense import DENSE, labelled
from .row import Inputs, Row

SIZES = {"small": (4, 3, 32, 32), "large": (4, 21, 256, 256), "tiny": (2, 3, 4, 4)}


def signed_distances(*size: int) -> tuple[Tensor, Tensor]:
    """Logits, and a signed distance for each class."""
    return torch.randn(size), 3 * torch.randn(size)


def with_distances(*size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, labels, and a distance to the nearest objects."""
    logits, labels = labelled(*size)
    return logits, labels, 10 * torch.rand(labels.shape)


def masks(*size: int) -> tuple[Tensor, Tensor]:
    """Logits and masks of each class."""
    return torch.randn(size), torch.randint(2, size).float()


def boundary_by_softmax(logits: Tensor, distance: Tensor) -> Tensor:
    """As the authors' code: foreground probabilities times distances."""
    return (F.softmax(logits, 1)[:, 1:] * distance[:, 1:]).mean()


def boundary_weighted_by_cross_entropy(logits: Tensor, target: Tensor, distance: Tensor) -> Tensor:
    """w₀ = 10, σ = 5."""
    weight = 1 + 10 * torch.exp(-distance.square() / 50)
    return (weight * F.cross_entropy(logits, target, reduction="none")).mean()


def _extension_gradient(target: Tensor) -> Tensor:
    """Of 1 - IoU, with the target sorted by falling errors along the last axis."""
    total = target.sum(-1, keepdim=True)
    jaccard = 1 - (total - target.cumsum(-1)) / (total + (1 - target).cumsum(-1))
    return torch.cat([jaccard[..., :1], jaccard[..., 1:] - jaccard[..., :-1]], -1)


def lovasz_softmax_by_class(logits: Tensor, target: Tensor) -> Tensor:
    """As the authors' code: one sort after the other, over the classes that occur."""
    probabilities = F.softmax(logits, 1).movedim(1, 0).flatten(1)
    losses: list[Tensor] = []
    for index, p in enumerate(probabilities):
        present = (target.flatten() == index).to(p.dtype)
        if present.sum() == 0:
            continue
        errors, order = (present - p).abs().sort(0, descending=True)
        losses.append(torch.dot(errors, _extension_gradient(present[order])))
    return torch.stack(losses).mean()


def lovasz_softmax_at_once(logits: Tensor, target: Tensor) -> Tensor:
    """All classes in one sort."""
    probabilities = F.softmax(logits, 1)
    one_hot = F.one_hot(target, logits.shape[1]).movedim(-1, 1).to(logits.dtype).movedim(1, 0).flatten(1)
    errors, order = (one_hot - probabilities.movedim(1, 0).flatten(1)).abs().sort(-1, descending=True)
    losses = (errors * _extension_gradient(one_hot.gather(-1, order))).sum(-1)
    present = (one_hot.sum(-1) > 0).to(losses.dtype)
    return (losses * present).sum() / present.sum()


def lovasz_hinge_at_once(logits: Tensor, target: Tensor) -> Tensor:
    """Per image and class, the hinge cut off at zero."""
    truth = target.flatten(2)
    errors, order = (1 - (2 * truth - 1) * logits.flatten(2)).clamp(min=0).sort(-1, descending=True)
    return (errors * _extension_gradient(truth.gather(-1, order))).sum(-1).mean()


ROWS = [
    Row("boundary", Inputs(signed_distances, **SIZES), (), (boundary_by_softmax,)),
    Row("boundary_weighted_cross_entropy", Inputs(with_distances, **SIZES), (), (boundary_weighted_by_cross_entropy,)),
    Row("lovasz_softmax", DENSE, (), (lovasz_softmax_by_class, lovasz_softmax_at_once)),
    Row("lovasz_hinge", Inputs(masks, **SIZES), (), (lovasz_hinge_at_once,)),
]
