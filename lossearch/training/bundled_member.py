"""A bundled task of a distribution."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from lossearch.ir.core.graph import Graph
from lossearch.tasks.described import DescribedTask
from lossearch.tasks.outcome import Outcome
from lossearch.training import seeds
from lossearch.training.cost import training_seconds
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.loss_buffers import loss_buffers
from lossearch.training.member import TUNED_WITH, WITHOUT_GRADIENT, Losses, Member
from lossearch.training.plan import Run
from lossearch.training.slot_losses import SlotLosses
from lossearch.training.stacked_models import Device
from lossearch.training.step_size import gradient_rms
from lossearch.training.untrained import initial_inputs
from lossearch.zoo import names
from lossearch.zoo.named import graph_of

Train = Callable[..., list[Outcome]]
"""`lossearch.training.train.train`."""

PROBING = 6
"""Hand-designed losses that show how far losses lie apart on a task."""


class BundledMember(Member[Losses]):
    """A bundled task of a distribution, whose runs are trained together.

    Args:
        task: the task.
        panel: losses that others are held against, by slot; the first is the reference.
        device: where to train.
        train: trains.
    """

    task: DescribedTask

    def __init__(self, task: DescribedTask, panel: Sequence[Mapping[str, Graph]], device: Device, train: Train) -> None:
        self._train, self._device = train, device
        self._buffers = {slot: loss_buffers(task, slot) for slot in task.searched}
        self._inputs = initial_inputs(task)
        losses = [{slot: GraphLoss(graph, self._buffers[slot]) for slot, graph in graphs.items()} for graphs in panel]
        super().__init__(task, losses)
        self._wanted = {slot: gradient_rms(loss, self._inputs[slot]) for slot, loss in losses[0].items()}
        self._telling: dict[int, float] = {}

    def telling(self, steps: int) -> float:
        """How far hand-designed losses lie apart there, in noise floors, per second that a training takes.

        Of the panel, or where that is the reference alone, of a few losses of the same signature; each at the learning
        rate of the reference. Seconds are reckoned from the model's operations (`training_seconds`), so that the same
        task always tells as much.
        """
        if steps not in self._telling:
            tuning = seeds.first("tuning constants", TUNED_WITH)
            known = [found for losses in self._probing() if not isinstance(found := self._placed(losses), Outcome)]
            rate = self._rate(0, steps)
            outcomes = self._run([(losses, rate, seed) for losses in known for seed in tuning], steps)
            metrics = np.reshape([math.nan if one.metric is None else one.metric for one in outcomes], (len(known), -1))
            means = metrics.mean(1)[np.isfinite(metrics).all(1)]
            spread = float(np.std(means)) if len(means) > 1 else 0.0
            self._telling[steps] = spread / self._floor(steps) / training_seconds(self.task, steps)
        return self._telling[steps]

    def _probing(self) -> Sequence[Losses]:
        """The losses that show how far losses lie apart: the panel, or hand-designed ones, evenly out of all."""
        if len(self._panel) > 1 or len(self._panel[0]) > 1:
            return self._panel
        ((slot, _),) = self._panel[0].items()
        graphs = [graph_of(name) for name in names(signature=self.task.slots[slot].signature)]
        buffers = [one.name for one in graphs[0].signature.buffers if one.name not in self._buffers[slot]]
        usable = [graph for graph in graphs if not any(map(graph.uses, buffers))]
        chosen = [usable[k * len(usable) // PROBING] for k in range(min(PROBING, len(usable)))]
        return [{slot: GraphLoss(graph, self._buffers[slot])} for graph in dict.fromkeys(chosen)]

    def _run(self, runs: Sequence[tuple[Losses, float, int]], steps: int, **settings: Any) -> list[Outcome]:
        others, base = SlotLosses(self.task, str(self._device)), self.task.base_learning_rate
        made = [Run(others.with_(losses), base * rate, seed) for losses, rate, seed in runs]
        return self._train(self.task, made, steps, device=self._device, **settings)

    def _placed(self, losses: Losses) -> Losses | Outcome:
        """As `Member._placed`, with this task's class weights."""
        found: dict[str, GraphLoss] = {}
        for slot, loss in losses.items():
            own = loss.with_buffers({name: self._buffers[slot][name] for name in loss.buffers}).scaled(1.0)
            size = gradient_rms(own, self._inputs[slot])
            if not (math.isfinite(size) and size > 0.0):
                return WITHOUT_GRADIENT
            found[slot] = own.scaled(self._wanted[slot] / size).to(self._device)
        return found
