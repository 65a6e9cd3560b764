"""One task of a distribution: how losses are trained on it, what a gain there is, and how much the task tells."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any, Generic, TypeVar

import numpy as np

from lossearch.errors import UserError
from lossearch.tasks.distribution.task import MemberTask
from lossearch.tasks.outcome import Outcome, Status
from lossearch.training import seeds
from lossearch.training.graph_loss import GraphLoss

Losses = Mapping[str, GraphLoss]
"""By slot."""

Placed = TypeVar("Placed")
"""Losses at a task's step size, as it trains them."""

RATES = tuple(4.0**power for power in range(-3, 4))
"""Factors on a task's learning rate among which each loss of a panel has its best."""

TUNED_WITH = 2
"""Seeds whose mean metric decides a learning rate."""

CALIBRATED_WITH = 8
"""Seeds of the reference from which the noise floor of a task is estimated."""


class Member(ABC, Generic[Placed]):
    """One task of a distribution: how losses are trained on it, and what a gain on it is.

    Args:
        task: the task.
        panel: losses that others are held against, by slot; the first is the reference.
    """

    def __init__(self, task: MemberTask, panel: Sequence[Losses]) -> None:
        self.task = task
        self._panel = panel
        self._rates: dict[tuple[int, int], float] = {}
        self._metrics: dict[tuple[int, int, int], float] = {}
        self._floors: dict[int, float] = {}

    @property
    def rates(self) -> Sequence[float]:
        """Factors on the task's learning rate that are tried."""
        return RATES

    @abstractmethod
    def telling(self, steps: int) -> float:
        """How far hand-designed losses lie apart there, in noise floors, per second that a training takes."""

    @abstractmethod
    def _placed(self, losses: Losses) -> Placed | Outcome:
        """Losses at the reference's RMS gradient, or how they fail where one has none."""

    @abstractmethod
    def _run(self, runs: Sequence[tuple[Placed, float, int]], steps: int, **settings: Any) -> list[Outcome]:
        """Train losses, each at a factor on the task's learning rate and with a seed."""

    def trained(
        self, losses: Sequence[Losses], factors: Sequence[float], of: Sequence[int], steps: int, **settings: Any
    ) -> list[Outcome]:
        """Train losses, at the step size and learning rate of the reference times a factor, each with a seed.

        A loss without a gradient at untrained predictions ends as one that diverged; one that refuses
        them ends with an error.
        """
        rate = self._rate(0, steps)
        placed = [self._placed(one) for one in losses]
        given = zip(placed, factors, of, strict=True)
        runs = [(one, rate * factor, seed) for one, factor, seed in given if not isinstance(one, Outcome)]
        sound = iter(self._run(runs, steps, **settings))
        return [one if isinstance(one, Outcome) else next(sound) for one in placed]

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

    def _of_panel(self, number: int) -> Placed:
        placed = self._placed(self._panel[number])
        if isinstance(placed, Outcome):
            found = f"loss {number + 1} of the panel on {self.task.name}: {placed.message}"
            raise UserError("losses with a gradient at untrained predictions", found, "name another loss")
        return placed

    def _rate(self, number: int, steps: int) -> float:
        """The factor on the task's learning rate at which a loss of the panel does best."""
        if len(self.rates) == 1:
            return self.rates[0]
        if (number, steps) not in self._rates:
            tuning = seeds.first("tuning constants", TUNED_WITH)
            losses = self._of_panel(number)
            outcomes = self._run([(losses, rate, seed) for rate in self.rates for seed in tuning], steps)
            metrics = np.reshape([or_worst(one, self.task) for one in outcomes], (len(self.rates), -1)).mean(1)
            best = int(metrics.argmax() if self.task.metric.higher_is_better else metrics.argmin())
            self._rates[number, steps] = self.rates[best]
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


WITHOUT_GRADIENT = Outcome(Status.DIVERGED, None, (), 0.0, "no gradient at untrained predictions")
"""How losses end that no step size can be given."""


def or_worst(outcome: Outcome, task: MemberTask) -> float:
    """The metric, or worse than any."""
    if outcome.metric is not None and not math.isnan(outcome.metric):
        return outcome.metric
    return -math.inf if task.metric.higher_is_better else math.inf
