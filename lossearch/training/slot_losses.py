"""The losses of all slots of a run, of which one varies."""

from __future__ import annotations

from collections.abc import Mapping

from lossearch.tasks.described import DescribedTask
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.plan import LossFunction


class SlotLosses:
    """Puts a loss into the slot that is searched, tuned or compared; the other slots keep the losses of the task.

    Args:
        task: names the slot and the losses of the others.
        device: where the losses are evaluated.

    Attributes:
        several: whether there are other slots.
    """

    def __init__(self, task: DescribedTask, device: str = "cpu") -> None:
        self._slot = task.slot
        self._others = {
            name: GraphLoss(graph, task.buffers(name)).to(device) for name, graph in task.other_losses.items()
        }
        self.several = bool(self._others)

    def with_(self, loss: LossFunction, scale: float = 1.0) -> Mapping[str, LossFunction]:
        """By slot, as a run takes them; `loss` times a factor."""
        return {self._slot: loss if scale == 1.0 else _times(loss, scale), **self._others}


def _times(loss: LossFunction, scale: float) -> LossFunction:
    if isinstance(loss, GraphLoss):
        return loss.scaled(loss.scale * scale)
    return lambda *inputs: scale * loss(*inputs)
