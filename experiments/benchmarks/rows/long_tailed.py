"""Losses that know how many elements each class has, from integer labels."""

from __future__ import annotations

from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from .dense import DENSE, labelled
from .row import Inputs, Row


def counted(*size: int) -> tuple[tuple[Tensor, Tensor], Mapping[str, Tensor]]:
    """Logits, labels, and counts from a thousand to one."""
    return labelled(*size), {"class_count": torch.logspace(3.0, 0.0, size[1])}


COUNTED = Inputs(counted, small=DENSE.small, large=DENSE.large, tiny=DENSE.tiny)


def _along(values: Tensor, like: Tensor) -> Tensor:
    return values.reshape(-1, *[1] * (like.dim() - 2))


def logit_adjustment_by_addition(logits: Tensor, target: Tensor, count: Tensor) -> Tensor:
    """τ = 1, as balanced softmax."""
    return F.cross_entropy(logits + _along(count.log(), logits), target)


def ldam_by_scatter(logits: Tensor, target: Tensor, count: Tensor) -> Tensor:
    """m = 0.5, s = 1."""
    margins = 0.5 * (count.min() / count) ** 0.25
    lowered = torch.zeros_like(logits).scatter_(1, target.unsqueeze(1), margins[target].unsqueeze(1))
    return F.cross_entropy(logits - lowered, target)


def class_balanced_by_weight(logits: Tensor, target: Tensor, count: Tensor) -> Tensor:
    """β = 0.9999."""
    weight = 1 / -torch.expm1(count * -1.00005e-4)
    return F.cross_entropy(logits, target, weight / weight.mean(), reduction="none").mean()


def seesaw_by_gather(logits: Tensor, target: Tensor, count: Tensor) -> Tensor:
    """p = 0.8, q = 2."""
    own = target.unsqueeze(1)
    sizes = _along(count.log(), logits).expand_as(logits)
    log_p = F.log_softmax(logits.detach(), 1)
    rarer, likelier = sizes - sizes.gather(1, own), log_p - log_p.gather(1, own)
    return F.cross_entropy(logits + 0.8 * rarer.clamp(max=0) + 2 * likelier.clamp(min=0), target)


ROWS = [
    Row("logit_adjustment", COUNTED, (), (logit_adjustment_by_addition,)),
    Row("ldam", COUNTED, (), (ldam_by_scatter,)),
    Row("class_balanced_cross_entropy", COUNTED, (), (class_balanced_by_weight,)),
    Row("seesaw", COUNTED, (), (seesaw_by_gather,)),
]
