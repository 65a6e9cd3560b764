"""How much of a training is over, told to its losses that use it."""

from __future__ import annotations

from collections.abc import Mapping

import torch
from torch import Tensor

from lossearch.ir.core.signature import PROGRESS
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.plan import LossFunction


class TrainingProgress:
    """The progress of one training: 0 at its first step, `1 - 1 / steps` at its last.

    Args:
        device: of the training.
    """

    def __init__(self, device: str | torch.device) -> None:
        self._own = torch.zeros((), device=device)
        self._told: dict[int, Tensor] = {}

    def followed_by(self, losses: Mapping[str, LossFunction]) -> dict[str, LossFunction]:
        """The losses of a run, by slot, such that they follow this progress.

        Graphs are given a tensor of this training, since theirs may be that of other trainings too; a module's own is
        written to.
        """
        return {slot: self._followed_by(loss) for slot, loss in losses.items()}

    def tell(self, done: int, steps: int) -> None:
        """Tell the losses that so many of the steps are done."""
        for tensor in self._told.values():
            tensor.fill_(done / steps)

    def _followed_by(self, loss: LossFunction) -> LossFunction:
        if isinstance(loss, GraphLoss):
            if PROGRESS.name not in loss.buffers:
                return loss
            self._told[id(self._own)] = self._own
            return loss.with_buffers({**loss.buffers, PROGRESS.name: self._own})
        held = getattr(loss, PROGRESS.name, None)
        if isinstance(held, Tensor):
            self._told[id(held)] = held
        return loss
