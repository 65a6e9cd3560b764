"""Classes: a map with rows of every class, all equally well predicted, serves losses of single elements and of whole
regions: the mean over its elements is the value of one."""

from __future__ import annotations

import math
from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from lossearch.ir.core.signature import DOMAIN
from lossearch.report.sweep import Sweep, SweepSizes, grid, sweeps

_LOGIT_RANGE = 6.0
_COLUMNS = 12
_LOG_ZERO = DOMAIN.lower


def _bands(classes: int) -> Tensor:
    """Labels [1, row, column]: the classes from top to bottom, two rows or more of each."""
    rows = torch.arange(classes).repeat_interleave(max(2, math.ceil(_COLUMNS / classes)))
    return rows[None, :, None].expand(1, -1, _COLUMNS).contiguous()


def _probability(classes: int, *fixed: Tensor) -> Sweep:
    """The true class's probability, by softmax and, for losses of one class against the rest, by sigmoid too."""
    true = F.one_hot(_bands(classes), classes).movedim(-1, 1).to(torch.float64)
    other = -math.log(classes - 1)
    probabilities = torch.sigmoid(grid(-_LOGIT_RANGE, _LOGIT_RANGE))
    return Sweep(
        axis=f"probability of the true class, of {classes}",
        slope="dL/d(true logit)",
        grid=probabilities,
        inputs=lambda p: (other + true * (torch.logit(p) - other), *fixed),
        moves=("logits",),
        ideal=float(probabilities[-1]),
        untrained=1.0 / classes,
        unit=1.0 - 1.0 / classes,  # cross-entropy's own: its curve is as it is
        rate=lambda p: p * (1.0 - p),
    )


@sweeps("dense")
def _dense(sizes: SweepSizes) -> tuple[Sweep, ...]:
    """As many elements of each class as of any other: at one probability the loss of a rare one would be another."""
    counts = torch.full((sizes.classes,), 100.0, dtype=torch.float64)
    return (replace(_probability(sizes.classes, _bands(sizes.classes)), buffers={"class_count": counts}),)


@sweeps("dense_log_target")
def _dense_log_target(sizes: SweepSizes) -> tuple[Sweep, ...]:
    absent = 1.0 - F.one_hot(_bands(sizes.classes), sizes.classes).movedim(-1, 1).to(torch.float64)
    return (_probability(sizes.classes, _LOG_ZERO * absent),)


@sweeps("boundary_map")
def _boundary_map(sizes: SweepSizes) -> tuple[Sweep, ...]:
    labels = _bands(sizes.classes)[0, :, 0]
    inside = F.one_hot(labels, sizes.classes).T.bool()[:, None]
    row = torch.arange(len(labels), dtype=torch.float64)
    gaps = (row[:, None] - row).abs()
    far = float(len(labels))
    distance = torch.where(inside, gaps, far).amin(-1) - torch.where(inside, far, gaps).amin(-1)
    return (_probability(sizes.classes, distance[None, :, :, None].expand(-1, -1, -1, _COLUMNS).contiguous()),)


@sweeps("boundary_distance")
def _boundary_distance(sizes: SweepSizes) -> tuple[Sweep, ...]:
    labels = _bands(sizes.classes)
    thickness = labels.shape[1] // sizes.classes
    depth = torch.arange(labels.shape[1], dtype=torch.float64) % thickness
    distance = torch.minimum(depth, thickness - 1 - depth)[None, :, None].expand(1, -1, _COLUMNS)
    return (_probability(sizes.classes, labels, distance.contiguous()),)


@sweeps("margin")
def _margin(sizes: SweepSizes) -> tuple[Sweep, ...]:
    label = torch.tensor([0])
    true = F.one_hot(label, sizes.classes).to(torch.float64)
    axis = "angle to the true class's centre; π/2 to the others"
    angles = grid(0.0, math.pi)
    return (Sweep(axis, "dL/d(angle)", angles, lambda a: (true * torch.cos(a), label), ("cosine",), 0.0, math.pi / 2),)


@sweeps("distillation")
def _distillation(sizes: SweepSizes) -> tuple[Sweep, ...]:
    """The teacher is sure of the true class to e² against each other."""
    labels = _bands(sizes.classes)
    teacher = 2.0 * F.one_hot(labels, sizes.classes).movedim(-1, 1).to(torch.float64)
    return (_probability(sizes.classes, labels, teacher),)
