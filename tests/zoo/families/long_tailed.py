"""Long tails: PyTorch's cross-entropy of what the papers do to scores, one label at a time for soft targets."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from ..harness import Case
from ..samples import Samples


def _along(values: Tensor, like: Tensor) -> Tensor:
    """A number for each class, laid out along the class axis."""
    return values.reshape(-1, *[1] * (like.dim() - 2))


def logit_adjustment(logits: Tensor, target: Tensor, tau: float, class_count: Tensor) -> Tensor:
    """Equation 10 of Menon et al."""
    prior = _along(class_count / class_count.sum(), logits)
    return F.cross_entropy(logits + tau * prior.log(), target, reduction="none")


def ldam(logits: Tensor, target: Tensor, margin: float, scale: float, class_count: Tensor) -> Tensor:
    """Equations 12 and 13 of Cao et al., C such that the largest margin is the one given, as in their code."""
    margins = class_count**-0.25
    lowered = logits - _along(margin * margins / margins.max(), logits) * target
    return F.cross_entropy(scale * lowered, target, reduction="none")


def class_balanced_cross_entropy(logits: Tensor, target: Tensor, beta: float, class_count: Tensor) -> Tensor:
    """Equation 10 of Cui et al. with weights that sum to the number of classes."""
    weight = (1 - beta) / (1 - beta**class_count)
    return F.cross_entropy(logits, target, weight * len(weight) / weight.sum(), reduction="none")


def seesaw(logits: Tensor, target: Tensor, p: float, q: float, class_count: Tensor) -> Tensor:
    """Equations 3 to 6 of Wang et al. where the target is a label, with geometric means over a soft one's labels."""
    sigma = torch.softmax(logits, 1).detach()
    count = _along(class_count, logits).expand_as(logits)
    of_label, own = (((target * x.log()).sum(1, keepdim=True)).exp() for x in (count, sigma))
    factor = (count / of_label).clamp(max=1) ** p * (sigma / own).clamp(min=1) ** q
    factor = torch.exp((1 - target) * factor.log())  # one for the label itself
    weighted = factor * torch.exp(logits)
    return -(target * (weighted / weighted.sum(1, keepdim=True)).log()).sum(1)


def _rare(class_count: Tensor, threshold: float, like: Tensor) -> Tensor:
    """T of Tan et al."""
    return _along((class_count < threshold * class_count.sum()).to(like.dtype), like)


def equalization(logits: Tensor, target: Tensor, gamma: float, threshold: float, class_count: Tensor) -> Tensor:
    """Equations 8 to 10 of Tan et al. with β its mean γ; for a label its own class has a weight of one."""
    weight = 1 - gamma * _rare(class_count, threshold, logits) * (1 - target)
    weighted = weight * logits.exp()
    return -(target * (weighted / weighted.sum(1, keepdim=True)).log()).sum(1)


def binary_equalization(logits: Tensor, target: Tensor, threshold: float, class_count: Tensor) -> Tensor:
    """Equations 4 and 5 of Tan et al. for foreground, averaged over whether a class is there."""
    rare = _rare(class_count, threshold, logits)
    there, absent = (F.binary_cross_entropy_with_logits(logits, x, reduction="none") for x in _both(logits))
    return target * there + (1 - target) * (1 - rare) * absent


def _both(like: Tensor) -> tuple[Tensor, Tensor]:
    return torch.ones_like(like), torch.zeros_like(like)


CASES = [
    *(Case("logit_adjustment", logit_adjustment, {"tau": tau}) for tau in (1.0, 2.5)),
    *(Case("ldam", ldam, {"margin": m, "scale": s}) for m, s in ((0.5, 1.0), (1.5, 4.0))),
    *(Case("class_balanced_cross_entropy", class_balanced_cross_entropy, {"beta": b}) for b in (0.9, 0.9999)),
    *(Case("seesaw", seesaw, {"p": p, "q": q}) for p, q in ((0.8, 2.0), (2.0, 0.5))),
    *(Case("equalization", equalization, {"gamma": g, "threshold": t}) for g, t in ((0.9, 1.76e-3), (0.5, 0.2))),
    *(Case("binary_equalization", binary_equalization, {"threshold": t}) for t in (1.76e-3, 0.2)),
]

ORDINARY: dict[str, Samples] = {}
EMPTY: dict[str, Samples] = {}
EXTREME: dict[str, Samples] = {}
