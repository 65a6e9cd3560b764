"""The losses of all slots of a run, of which some vary."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from torch import Tensor

from lossearch.tasks.described import DescribedTask
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.loss_buffers import loss_buffers
from lossearch.training.plan import LossFunction


class SlotLosses:
    """Puts losses into the slots that are searched, tuned or compared; the other slots keep the losses of the task.

    Args:
        task: names these slots and the losses of the others.
        device: where the losses are evaluated.

    Attributes:
        several: whether the task has several slots.
    """

    def __init__(self, task: DescribedTask, device: str = "cpu") -> None:
        self._others = {
            name: GraphLoss(graph, loss_buffers(task, name)).to(device) for name, graph in task.other_losses.items()
        }
        self.several = len(task.slots) > 1

    def with_(self, losses: Mapping[str, LossFunction]) -> Mapping[str, LossFunction]:
        """By slot, as a run takes them."""
        return {**losses, **self._others}


def times(loss: LossFunction, scale: float) -> LossFunction:
    """A loss times a factor."""
    if scale == 1.0:
        return loss
    if isinstance(loss, GraphLoss):
        return loss.scaled(loss.scale * scale)
    return _Times(loss, scale)


class _Times:
    """A callable loss times a factor; it has the loss's attributes, such as `progress`."""

    def __init__(self, loss: LossFunction, scale: float) -> None:
        self._loss, self._scale = loss, scale

    def __call__(self, *inputs: Tensor) -> Tensor:
        return self._scale * self._loss(*inputs)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._loss, name)
