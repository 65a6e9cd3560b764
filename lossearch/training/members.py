"""One task of a distribution: how losses are trained on it, what a gain there is, and how much the task tells."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from weakref import WeakKeyDictionary

import numpy as np

from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph
from lossearch.tasks.described import DescribedTask
from lossearch.tasks.distribution.task import DistributionTask
from lossearch.tasks.outcome import Outcome, Status
from lossearch.training import seeds
from lossearch.training.cost import training_seconds
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.loss_buffers import loss_buffers
from lossearch.training.plan import Run
from lossearch.training.slot_losses import SlotLosses
from lossearch.training.stacked_models import Device
from lossearch.training.step_size import gradient_rms
from lossearch.training.untrained import initial_inputs
from lossearch.zoo import names
from lossearch.zoo.named import graph_of

Train = Callable[..., list[Outcome]]
"""`lossearch.training.train.train`."""

Losses = Mapping[str, GraphLoss]
"""By slot."""

RATES = tuple(4.0**power for power in range(-3, 4))
"""Factors on a task's learning rate among which each loss of a panel has its best."""

TUNED_WITH = 2
"""Seeds whose mean metric decides a learning rate."""

CALIBRATED_WITH = 8
"""Seeds of the reference from which the noise floor of a task is estimated."""

PROBING = 6
"""Hand-designed losses that show how far losses lie apart on a task."""

_KEPT: WeakKeyDictionary[DistributionTask, dict[tuple[str, int], Member]] = WeakKeyDictionary()
"""By distribution, place and device: what was measured of the members, which costs trainings."""


class Member:
    """One task of a distribution: how losses are trained on it, and what a gain on it is.

    Args:
        task: the task.
        panel: losses that others are held against, by slot; the first is the reference.
        device: where to train.
        train: trains.
    """

    def __init__(self, task: DescribedTask, panel: Sequence[Mapping[str, Graph]], device: Device, train: Train) -> None:
        self.task = task
        self._train, self._device = train, device
        self._buffers = {slot: loss_buffers(task, slot) for slot in task.searched}
        self._inputs = initial_inputs(task)
        self._panel = [
            {slot: GraphLoss(graph, self._buffers[slot]) for slot, graph in graphs.items()} for graphs in panel
        ]
        self._wanted = {slot: gradient_rms(loss, self._inputs[slot]) for slot, loss in self._panel[0].items()}
        self._rates: dict[tuple[int, int], float] = {}
        self._metrics: dict[tuple[int, int, int], float] = {}
        self._floors: dict[int, float] = {}
        self._telling: dict[int, float] = {}

    def trained(
        self, losses: Sequence[Losses], factors: Sequence[float], of: Sequence[int], steps: int, **settings: Any
    ) -> list[Outcome]:
        """Train losses, at the step size and learning rate of the reference times a factor, each with a seed.

        A loss without a gradient at untrained predictions ends as one that diverged.
        """
        rate = self._rate(0, steps)
        placed = [self._placed(one) for one in losses]
        runs = [(one, rate * factor, seed) for one, factor, seed in zip(placed, factors, of, strict=True)]
        sound = iter(self._run([run for run in runs if run[0] is not None], steps, **settings))
        message = f"no gradient at untrained predictions of {self.task.name}"
        failed = Outcome(Status.DIVERGED, None, (), 0.0, message)
        return [failed if one is None else next(sound) for one, _, _ in runs]

    def gains(self, metrics: Sequence[float], of: Sequence[int], steps: int) -> list[float]:
        """How much better metrics are than the reference's with the same seed, in noise floors."""
        sign, floor = 1.0 if self.task.metric.higher_is_better else -1.0, self._floor(steps)
        known = self._metrics_of(0, of, steps)
        return [sign * (metric - other) / floor for metric, other in zip(metrics, known, strict=True)]

    def ranks(self, metrics: Sequence[float], of: Sequence[int], steps: int) -> list[float]:
        """For each metric one more than the losses of the panel that are better with that seed; equals count half."""
        is_better, found = self.task.metric.is_better, [1.0] * len(metrics)
        for number in range(len(self._panel)):
            for k, other in enumerate(self._metrics_of(number, of, steps)):
                found[k] += 0.5 if other == metrics[k] else float(is_better(other, metrics[k]))
        return found

    def telling(self, steps: int) -> float:
        """How far hand-designed losses lie apart there, in noise floors, per second that a training takes.

        Of the panel, or where that is the reference alone, of a few losses of the same signature; each at the learning
        rate of the reference. Seconds are reckoned from the model's operations (`training_seconds`), so that the same
        task always tells as much.
        """
        if steps not in self._telling:
            tuning = seeds.first("tuning constants", TUNED_WITH)
            known = [found for losses in self._probing() if (found := self._placed(losses)) is not None]
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

    def _run(self, runs: Sequence[tuple[Losses | None, float, int]], steps: int, **settings: Any) -> list[Outcome]:
        others, base = SlotLosses(self.task, str(self._device)), self.task.base_learning_rate
        made = [Run(others.with_(losses or {}), base * rate, seed) for losses, rate, seed in runs]
        return self._train(self.task, made, steps, device=self._device, **settings)

    def _placed(self, losses: Losses) -> Losses | None:
        """Losses with this task's class weights and at the reference's RMS gradient; None where one has none."""
        found: dict[str, GraphLoss] = {}
        for slot, loss in losses.items():
            own = loss.with_buffers({name: self._buffers[slot][name] for name in loss.buffers}).scaled(1.0)
            size = gradient_rms(own, self._inputs[slot])
            if not (math.isfinite(size) and size > 0.0):
                return None
            found[slot] = own.scaled(self._wanted[slot] / size).to(self._device)
        return found

    def _of_panel(self, number: int) -> Losses:
        placed = self._placed(self._panel[number])
        if placed is None:
            found = f"loss {number + 1} of the panel, which has none on {self.task.name}"
            raise UserError("losses with a gradient at untrained predictions", found, "name another loss")
        return placed

    def _rate(self, number: int, steps: int) -> float:
        """The factor on the task's learning rate at which a loss of the panel does best."""
        if (number, steps) not in self._rates:
            tuning = seeds.first("tuning constants", TUNED_WITH)
            losses = self._of_panel(number)
            outcomes = self._run([(losses, rate, seed) for rate in RATES for seed in tuning], steps)
            metrics = np.reshape([or_worst(one, self.task) for one in outcomes], (len(RATES), -1)).mean(1)
            best = int(metrics.argmax() if self.task.metric.higher_is_better else metrics.argmin())
            self._rates[number, steps] = RATES[best]
        return self._rates[number, steps]

    def _metrics_of(self, number: int, of: Sequence[int], steps: int) -> list[float]:
        """The metric of a loss of the panel with each seed, at its own learning rate."""
        # In blocks of their own, so that rounding does not depend on which seeds were asked for before.
        blocks = dict.fromkeys(seed // CALIBRATED_WITH for seed in of if (number, steps, seed) not in self._metrics)
        missing = [block * CALIBRATED_WITH + k for block in blocks for k in range(CALIBRATED_WITH)]
        rate, losses = self._rate(number, steps), self._of_panel(number)
        outcomes = [
            outcome
            for start in range(0, len(missing), CALIBRATED_WITH)
            for outcome in self._run([(losses, rate, s) for s in missing[start : start + CALIBRATED_WITH]], steps)
        ]
        for seed, outcome in zip(missing, outcomes, strict=True):
            if outcome.metric is None:
                found = f"loss {number + 1} of the panel ends there with {outcome.status}: {outcome.message[-200:]}"
                raise UserError(
                    f"a panel of losses that can be trained on {self.task.name}", found, "name another loss"
                )
            self._metrics[number, steps, seed] = outcome.metric
        return [self._metrics[number, steps, seed] for seed in of]

    def _floor(self, steps: int) -> float:
        """The reference's noise floor over `CALIBRATED_WITH` seeds, in its normal form 1.96 s √(2 / n)."""
        if steps not in self._floors:
            values = self._metrics_of(0, seeds.first("scoring", CALIBRATED_WITH), steps)
            floor = 1.96 * float(np.std(values, ddof=1)) * math.sqrt(2 / len(values))
            if not floor > 0.0:
                found = f"{self.task.name}, where each of {len(values)} seeds gives {values[0]:g}"
                raise UserError("tasks on which the reference loss differs from seed to seed", found, "leave it out")
            self._floors[steps] = floor
        return self._floors[steps]


def members_of(distribution: DistributionTask, device: Device, train: Train) -> list[Member]:
    """The members of a distribution, each made once for a device."""
    kept = _KEPT.setdefault(distribution, {})
    for place, task in enumerate(distribution.members):
        if (str(device), place) not in kept:
            kept[str(device), place] = Member(task, distribution.panel, device, train)
    return [kept[str(device), place] for place in range(len(distribution.members))]


def or_worst(outcome: Outcome, task: DescribedTask) -> float:
    """The metric, or worse than any."""
    if outcome.metric is not None and not math.isnan(outcome.metric):
        return outcome.metric
    return -math.inf if task.metric.higher_is_better else math.inf
