"""How much of a loss's gradient a change takes away, at the predictions of an untrained network."""

from __future__ import annotations

import math

from lossearch.comparison.conditions import Conditions
from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.signature import get_signature
from lossearch.ir.core.types import IllTyped
from lossearch.tasks.catalogue import build_task
from lossearch.tasks.training_config import TrainingConfig
from lossearch.tasks.user.first_call import FirstCall
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.step_size import FirstPredictions, gradient_rms
from lossearch.training.untrained import initial_inputs


class Importance:
    """Measures changes on one task: a bundled one's network, or the first call of a user's function."""

    def __init__(self, conditions: Conditions) -> None:
        if isinstance(conditions.config, TrainingConfig):
            task = build_task(conditions.config)
            self._inputs = initial_inputs(task)[task.slot]
            self._buffers = task.buffers(task.slot)
            self._first = None
        else:
            call = FirstCall.loads(conditions.first_call)
            self._first = FirstPredictions(call, get_signature(conditions.signature))

    def share(self, graph: Graph, shorter: Graph) -> float:
        """RMS gradient of the difference, in terms of the loss's own; infinite where it cannot be measured."""
        try:
            difference = Graph(graph.signature, graph.root - shorter.root, graph.parameters, graph.weight)
            own = self._size(graph)
            return self._size(difference) / own if own > 0.0 else math.inf
        except (IllTyped, UserError):  # a difference of which nothing is left, such as that of two equal numbers
            return 0.0

    def _size(self, graph: Graph) -> float:
        if self._first is not None:
            return self._first.gradient_rms(graph)
        return gradient_rms(GraphLoss(graph, self._buffers), self._inputs)
