"""A teacher's scores: PyTorch's divergences put together as the papers write; for labels, one class at a time."""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from .. import samples
from ..harness import Case
from ..samples import Sample, Samples


def knowledge_distillation(logits: Tensor, target: Tensor, teacher: Tensor, alpha: float, temperature: float) -> Tensor:
    student, known = (F.log_softmax(x / temperature, 1) for x in (logits, teacher))
    divergence = F.kl_div(student, known, reduction="none", log_target=True).sum(1)
    return alpha * temperature**2 * divergence + (1 - alpha) * F.cross_entropy(logits, target, reduction="none")


def decoupled_distillation(
    logits: Tensor, target: Tensor, teacher: Tensor, alpha: float, beta: float, temperature: float
) -> Tensor:
    """Equations 5 and 7 of Zhao et al.: divergences of (p_y, 1 - p_y), and of all classes but y."""
    p, q = (torch.softmax(x / temperature, 1) for x in (logits, teacher))

    def divergence(first: Tensor, second: Tensor) -> Tensor:
        return (first * (first.clamp(min=1e-300).log() - second.clamp(min=1e-300).log())).sum(1)

    def binary(x: Tensor) -> Tensor:
        return torch.stack([(x * target).sum(1), (x * (1 - target)).sum(1)], 1)

    def others(x: Tensor) -> Tensor:
        rest = x * (1 - target)
        return rest / rest.sum(1, keepdim=True)

    terms = alpha * divergence(binary(q), binary(p)) + beta * divergence(others(q), others(p))
    return F.cross_entropy(logits, target, reduction="none") + temperature**2 * terms


def _with_teacher(sample: Sample, scale: float = 3.0) -> Sample:
    generator = torch.Generator().manual_seed(21)
    teacher = scale * torch.randn(sample.prediction.shape, generator=generator, dtype=torch.float64)
    return Sample(sample.name, (*sample.inputs, teacher.clamp(-1e4, 1e4)), sample.labels)


CASES = [
    *(
        Case("knowledge_distillation", knowledge_distillation, {"alpha": alpha, "temperature": t})
        for alpha, t in ((0.9, 4.0), (0.5, 1.0))
    ),
    Case("decoupled_distillation", decoupled_distillation, {"alpha": 1.0, "beta": 8.0, "temperature": 4.0}),
    Case("decoupled_distillation", decoupled_distillation, {"alpha": 2.0, "beta": 0.5, "temperature": 1.0}),
]

ORDINARY: dict[str, Samples] = {"distillation": lambda: [_with_teacher(s) for s in samples.dense()]}
EMPTY: dict[str, Samples] = {"distillation": lambda: [_with_teacher(s) for s in samples.empty_dense()]}
EXTREME: dict[str, Samples] = {
    "distillation": lambda: [_with_teacher(s, scale) for s in samples.extreme_dense() for scale in (0.0, 3.0, 1e4)]
}
