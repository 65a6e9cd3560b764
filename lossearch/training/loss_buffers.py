"""What losses are made with in a task: its own tensors, such as class weights, and how much of a training is over."""

from __future__ import annotations

import torch
from torch import Tensor

from lossearch.ir.core.signature import PROGRESS
from lossearch.tasks.base import MakesLosses

UNTRAINED_PROGRESS = 0.5
"""The progress at which losses are compared without a training: the middle, where no part of a schedule is zero."""


def loss_buffers(task: MakesLosses, slot: str) -> dict[str, Tensor]:
    """The tensors that losses of a slot are made with, by the names of its signature."""
    given = dict(task.buffers(slot))
    if task.tells_progress:
        given[PROGRESS.name] = torch.tensor(UNTRAINED_PROGRESS)
    return given
