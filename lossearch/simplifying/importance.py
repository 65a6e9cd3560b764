"""How much of a loss's gradient a change takes away, at the predictions of an untrained network."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping

from torch import Tensor

from lossearch.comparison.conditions import Conditions
from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.joint import AnyGraph, by_slot
from lossearch.ir.core.signature import get_signature
from lossearch.ir.core.types import IllTyped
from lossearch.tasks.catalogue import build_task
from lossearch.tasks.training_config import TrainingConfig
from lossearch.tasks.user.first_calls import FirstCalls
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.loss_buffers import loss_buffers
from lossearch.training.step_size import FirstPredictions, gradient_rms
from lossearch.training.untrained import LossInputs, initial_inputs


class Importance:
    """Measures changes on one task: a bundled one's network, or the first calls of a user's function."""

    def __init__(self, conditions: Conditions) -> None:
        self._slot = conditions.slots[0][0]
        self._sizes: dict[str, Callable[[Graph], float]]
        if isinstance(conditions.config, TrainingConfig):
            task = build_task(conditions.config)
            inputs = initial_inputs(task)
            self._sizes = {slot: _on(inputs[slot], loss_buffers(task, slot)) for slot, _ in conditions.slots}
        else:
            calls = FirstCalls.loads(conditions.first_call)
            self._sizes = {
                slot: FirstPredictions(calls[slot], get_signature(signature)).gradient_rms
                for slot, signature in conditions.slots
            }

    def share(self, graph: AnyGraph, shorter: AnyGraph) -> float:
        """RMS gradient of the difference, in terms of the loss's own; infinite where it cannot be measured.

        Of a candidate for several slots the shares of all of them are added up.
        """
        before, after = by_slot(graph, self._slot), by_slot(shorter, self._slot)
        return sum(self._share(slot, before[slot], after[slot]) for slot in before if before[slot] != after[slot])

    def _share(self, slot: str, graph: Graph, shorter: Graph) -> float:
        size = self._sizes[slot]
        try:
            difference = Graph(graph.signature, graph.root - shorter.root, graph.parameters, graph.weight)
            own = size(graph)
            return size(difference) / own if own > 0.0 else math.inf
        except (IllTyped, UserError):  # a difference of which nothing is left, such as that of two equal numbers
            return 0.0


def _on(inputs: LossInputs, buffers: Mapping[str, Tensor]) -> Callable[[Graph], float]:
    return lambda graph: gradient_rms(GraphLoss(graph, buffers), inputs)
