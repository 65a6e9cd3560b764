"""Losses that are robust to wrong labels, from integer labels."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from .dense import DENSE
from .row import Row


def _normalized(log_p: Tensor, target: Tensor) -> Tensor:
    return (log_p.gather(1, target.unsqueeze(1)) / log_p.sum(1, keepdim=True)).mean()


def _true(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Log-probabilities, and the label's probability."""
    log_p = F.log_softmax(logits, 1)
    return log_p, log_p.gather(1, target.unsqueeze(1)).exp()


def normalized_by_gather(logits: Tensor, target: Tensor) -> Tensor:
    return _normalized(F.log_softmax(logits, 1), target)


def nce_rce_by_gather(logits: Tensor, target: Tensor) -> Tensor:
    """α = β = 1, A = log 1e-4; the reverse term is -A (1 - p_y)."""
    log_p, true = _true(logits, target)
    return _normalized(log_p, target) - math.log(1e-4) * (1 - true).mean()


def nce_mae_by_gather(logits: Tensor, target: Tensor) -> Tensor:
    """α = β = 1."""
    log_p, true = _true(logits, target)
    return _normalized(log_p, target) + (2 - 2 * true).mean()


def nce_agce_by_gather(logits: Tensor, target: Tensor) -> Tensor:
    """α = 1, β = 4, a = 6, q = 1.5."""
    log_p, true = _true(logits, target)
    return _normalized(log_p, target) + 4 * ((7**1.5 - (6 + true) ** 1.5) / 1.5).mean()


def active_negative_by_gather(logits: Tensor, target: Tensor) -> Tensor:
    """α = β = 5, p ≥ 1e-7."""
    log_p = F.log_softmax(logits, 1)
    above = log_p.clamp(min=math.log(1e-7)) - math.log(1e-7)
    return 5 * _normalized(log_p, target) + 5 - 5 * _normalized(above, target)


def epsilon_softmax_by_scatter(logits: Tensor, target: Tensor) -> Tensor:
    """m = 1e5, α = 0.01, β = 5."""
    p = F.softmax(logits, 1)
    raised = torch.zeros_like(p).scatter_(1, p.argmax(1, keepdim=True), 1e5)
    log_p = ((p + raised) / (1e5 + 1)).log()
    true = p.gather(1, target.unsqueeze(1))
    return -0.01 * log_p.gather(1, target.unsqueeze(1)).mean() + 5 * (2 - 2 * true).mean()


def joint_asymmetric_by_gather(logits: Tensor, target: Tensor) -> Tensor:
    """α = β = 1, a = 30."""
    log_p, true = _true(logits, target)
    squares = log_p.exp().square().sum(1, keepdim=True) - 60 * true + 900
    return _normalized(log_p, target) + (squares / logits.shape[1]).mean()


def clipped_by_norm(logits: Tensor, target: Tensor) -> Tensor:
    """δ = 1."""
    norm = torch.linalg.vector_norm(logits, dim=1, keepdim=True)
    return F.cross_entropy(logits / norm.clamp(min=1.0), target)


def jensen_shannon_by_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """π = 1/2: H(m) - H(p)/2 over log(2)/2, with m = (t + p)/2."""
    log_p = F.log_softmax(logits, 1)
    p = log_p.exp()
    mixed = (p + F.one_hot(target, p.shape[1]).movedim(-1, 1)) / 2
    divergence = (p * log_p).sum(1) / 2 - torch.special.xlogy(mixed, mixed).sum(1)
    return divergence.mean() / (math.log(2) / 2)


ROWS = [
    Row("normalized_cross_entropy", DENSE, (), (normalized_by_gather,)),
    Row("nce_rce", DENSE, (), (nce_rce_by_gather,)),
    Row("nce_mae", DENSE, (), (nce_mae_by_gather,)),
    Row("nce_agce", DENSE, (), (nce_agce_by_gather,)),
    Row("active_negative_cross_entropy", DENSE, (), (active_negative_by_gather,)),
    Row("epsilon_softmax", DENSE, (), (epsilon_softmax_by_scatter,)),
    Row("joint_asymmetric", DENSE, (), (joint_asymmetric_by_gather,)),
    Row("logit_clipping", DENSE, (), (clipped_by_norm,)),
    Row("jensen_shannon", DENSE, (), (jensen_shannon_by_entropy,)),
]
