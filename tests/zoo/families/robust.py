"""Robust to wrong labels: the papers' formulas over probabilities, for each label and averaged over the target."""

from __future__ import annotations

from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import Tensor

from ..harness import Case
from ..samples import Samples


def of_labels(loss: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """From a loss of (probabilities, label) to its mean over labels drawn from a target."""

    def oracle(logits: Tensor, target: Tensor, **arguments: float) -> Tensor:
        p = torch.softmax(logits, 1)
        each = [target[:, y] * loss(p, y, **arguments) for y in range(logits.shape[1])]
        return torch.stack(each).sum(0)

    return oracle


def nce(p: Tensor, y: int) -> Tensor:
    """Equation 2 of Ma et al."""
    return p[:, y].log() / p.log().sum(1)


def nce_agce(logits: Tensor, target: Tensor, alpha: float, beta: float, a: float, q: float) -> Tensor:
    """NCE averaged over labels; AGCE, equation 13 of Zhou et al., at the mean probability of the label."""
    expected = (target * torch.softmax(logits, 1)).sum(1)
    return alpha * of_labels(nce)(logits, target) + beta * ((a + 1) ** q - (a + expected) ** q) / q


def nce_rce(logits: Tensor, target: Tensor, alpha: float, beta: float, log_zero: float) -> Tensor:
    """With log 0 = A for absent classes; the logarithm of a share is itself."""
    p = torch.softmax(logits, 1)
    return alpha * of_labels(nce)(logits, target) - beta * (p * target.log().clamp(min=log_zero)).sum(1)


def nce_mae(logits: Tensor, target: Tensor, alpha: float, beta: float) -> Tensor:
    error = F.l1_loss(torch.softmax(logits, 1), target, reduction="none").sum(1)
    return alpha * of_labels(nce)(logits, target) + beta * error


def active_negative(p: Tensor, y: int, alpha: float, beta: float, log_zero: float) -> Tensor:
    """NNCE of Ye et al., section 3.2, with probabilities held at e^A."""
    above = p.log().clamp(min=log_zero) - log_zero
    return alpha * nce(p, y) + beta * (1 - above[:, y] / above.sum(1))


def epsilon_softmax(logits: Tensor, target: Tensor, alpha: float, beta: float, m: float) -> Tensor:
    """Equation 3 of Wang et al., and what they call CE_ε + MAE."""
    p = torch.softmax(logits, 1)
    sharp = (p + m * F.one_hot(p.argmax(1), p.shape[1]).movedim(-1, 1)) / (m + 1)
    return -alpha * (target * sharp.log()).sum(1) + beta * (p - target).abs().sum(1)


def joint_asymmetric(logits: Tensor, target: Tensor, alpha: float, beta: float, a: float) -> Tensor:
    error = F.mse_loss(torch.softmax(logits, 1), a * target, reduction="none").mean(1)
    return alpha * of_labels(nce)(logits, target) + beta * error


def logit_clipping(logits: Tensor, target: Tensor, delta: float) -> Tensor:
    """Equation 5 of Wei et al."""
    norm = torch.linalg.vector_norm(logits, dim=1, keepdim=True)
    clipped = torch.where(norm >= delta, delta * logits / norm, logits)
    return F.cross_entropy(clipped, target, reduction="none")


def jensen_shannon(logits: Tensor, target: Tensor, share: float) -> Tensor:
    """Equations 5 and 6 of Englesson and Azizpour by entropies: H(Σ π p) - Σ π H(p)."""

    def entropy(x: Tensor) -> Tensor:
        return -torch.special.xlogy(x, x).sum(1)

    p = torch.softmax(logits, 1)
    mixed = entropy(share * target + (1 - share) * p)
    divergence = mixed - share * entropy(target) - (1 - share) * entropy(p)
    return divergence / -((1 - share) * torch.log(torch.tensor(1 - share, dtype=p.dtype)))


CASES = [
    Case("normalized_cross_entropy", of_labels(nce)),
    Case("nce_rce", nce_rce, {"alpha": 2.0, "beta": 0.1, "log_zero": -9.0}),
    Case("nce_mae", nce_mae, {"alpha": 1.0, "beta": 0.5}),
    Case("nce_agce", nce_agce, {"alpha": 1.0, "beta": 4.0, "a": 6.0, "q": 1.5}),
    Case("nce_agce", nce_agce, {"alpha": 1.0, "beta": 1.0, "a": 0.5, "q": 0.5}),
    Case(
        "active_negative_cross_entropy",
        of_labels(active_negative),
        {"alpha": 5.0, "beta": 2.0, "log_zero": -16.0},
    ),
    Case("active_negative_cross_entropy", of_labels(active_negative), {"alpha": 1.0, "beta": 1.0, "log_zero": -6.0}),
    Case("epsilon_softmax", epsilon_softmax, {"alpha": 0.1, "beta": 5.0, "m": 1e3}),
    Case("joint_asymmetric", joint_asymmetric, {"alpha": 1.0, "beta": 1.0, "a": 30.0}),
    *(Case("logit_clipping", logit_clipping, {"delta": delta}) for delta in (1.0, 6.0)),
    *(Case("jensen_shannon", jensen_shannon, {"share": share}) for share in (0.1, 0.7)),
]

ORDINARY: dict[str, Samples] = {}
EMPTY: dict[str, Samples] = {}
EXTREME: dict[str, Samples] = {}
