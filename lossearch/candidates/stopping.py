"""Stopping trainings that lag behind: rungs at shares of a training, with thresholds from earlier candidates.

Successive halving without waiting (Li et al. 2020): at a rung, a candidate is trained on if it is among the best share
of those that reached the rung before it.
"""

from __future__ import annotations

import copy
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

Curve = Sequence[tuple[int, float]]


class StoppingConfig(BaseModel):
    """When a training function's call is stopped, by the metric that it yields on the way.

    It misleads where what learns fastest does not end best, as under label noise or with a learning rate that falls.

    Candidates of a distribution race across its tasks instead: a rung is a share of the tasks, and what is looked at is
    the fitness over those so far, a mean over the seeds. The tasks come in the order of how far hand-designed losses
    lie apart on them, in noise floors, per second of training, so that the cheap and telling ones come first. It
    misleads where a loss's strength is on the last tasks alone.

    Attributes:
        rungs: shares of a training's yields, or of a distribution's tasks, such as [0.25, 0.5], after which it is
            looked at; none, as by default, trains every candidate to the end. How often a training yields, the first
            one trained to the end shows.
        keep: a candidate is stopped at a rung unless its metric there is among the best such share of the candidates of
            earlier generations, and one of a candidate's own variants unless it is among that share of them.
        least: candidates that must have reached a rung before it stops any.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    rungs: tuple[Annotated[float, Field(gt=0.0, lt=1.0)], ...] = ()
    keep: float = Field(default=0.5, gt=0.0, lt=1.0)
    least: int = Field(default=8, ge=1)


@dataclass(frozen=True)
class Stops:
    """At which yields a training is stopped, and for what.

    Attributes:
        higher_is_better: the metric's direction.
        yields: how often a whole training yields; None where that is not known yet.
        rungs: numbers of yields at which a training is looked at, ascending.
        thresholds: by rung the worst metric with which a training goes on; rungs without one stop nothing.
        keep: see `StoppingConfig`.
    """

    higher_is_better: bool = True
    yields: int | None = None
    rungs: tuple[int, ...] = ()
    thresholds: tuple[tuple[int, float], ...] = ()
    keep: float = 0.5

    def allow(self, count: int, value: float) -> bool:
        """Whether a training with this metric at this yield goes on."""
        return not any(rung == count and self._better(worst, value) for rung, worst in self.thresholds)

    def reached(self, count: int, budget: int) -> int:
        """The share of a budget that a training had spent by a yield, less than the whole."""
        return min(budget - 1, round(budget * count / (self.yields or count)))

    def _better(self, a: float, b: float) -> bool:
        return a > b if self.higher_is_better else a < b

    def among(self) -> Callable[[int, float], bool]:
        """Decides for one training after the other which go on, each by those before it: for a candidate's variants."""
        before: dict[int, list[float]] = {rung: [] for rung in self.rungs}

        def allow(count: int, value: float) -> bool:
            if count not in before:
                return True
            better = sum(self._better(other, value) for other in before[count])
            before[count].append(value)
            return better < math.ceil(self.keep * len(before[count]))

        return allow


NEVER = Stops()


@dataclass
class TrainingWatch:
    """Sees a training's metrics, and remembers where it was stopped.

    Attributes:
        allow: whether a training goes on, by number of yields and metric.
        stopped: the number of yields after which it was stopped; None where it was not.
    """

    allow: Callable[[int, float], bool]
    stopped: int | None = None

    def __call__(self, count: int, value: float) -> bool:
        if self.stopped is None and not self.allow(count, value):
            self.stopped = count
        return self.stopped is None


@dataclass
class Rungs:
    """What an island knows of earlier trainings, as plain data that its checkpoint holds.

    Attributes:
        yields: of the first training that ended; None before.
        values: by rung of the configuration the metrics that candidates had there.
        worst: the worst merit of a candidate that was trained to the end; None before.
    """

    yields: int | None = None
    values: list[list[float]] = field(default_factory=list)
    worst: float | None = None

    def learn(self, config: StoppingConfig, curve: Curve, whole: bool, merit: float | None) -> float | None:
        """Take a candidate into account, and return the merit that a search method is told of it.

        One that was stopped is told to be worse than all that were trained to the end.

        Args:
            config: names the rungs.
            curve: (number of yields, metric) of its first seed.
            whole: whether it was trained to the end.
            merit: of the candidate, higher for the better; None where it failed.
        """
        if not config.rungs or merit is None or not curve:
            return merit
        if whole:
            self.worst = merit if self.worst is None else min(self.worst, merit)
            self.yields = self.yields or curve[-1][0]
        elif self.worst is not None:
            merit = min(merit, math.nextafter(self.worst, -math.inf))
        if self.yields is not None:
            self.values = self.values or [[] for _ in config.rungs]
            for values, rung in zip(self.values, self._places(config, self.yields), strict=True):
                if curve[-1][0] >= rung:
                    # A long curve is thinned, so that its nearest point may be an earlier one.
                    values.append(max((step, value) for step, value in curve if step <= rung or step == curve[0][0])[1])
        return merit

    def stops(self, config: StoppingConfig, higher_is_better: bool) -> Stops:
        """What stops the trainings that begin now."""
        if not config.rungs or self.yields is None:
            return Stops(higher_is_better)
        places = self._places(config, self.yields)
        thresholds: dict[int, float] = {}
        for values, rung in zip(self.values, places, strict=True):
            if rung < self.yields and len(values) >= config.least:
                best_first = sorted(values, reverse=higher_is_better)
                thresholds[rung] = best_first[math.ceil(config.keep * len(values)) - 1]
        rungs = tuple(sorted({rung for rung in places if rung < self.yields}))
        return Stops(higher_is_better, self.yields, rungs, tuple(sorted(thresholds.items())), config.keep)

    @staticmethod
    def _places(config: StoppingConfig, yields: int) -> list[int]:
        return [max(1, round(share * yields)) for share in config.rungs]

    def to_plain(self) -> dict[str, Any]:
        """As JSON holds it; `of` reads it back."""
        return copy.deepcopy(self.__dict__)

    @classmethod
    def of(cls, plain: dict[str, Any]) -> Rungs:
        """What `to_plain` gave."""
        return cls(**copy.deepcopy(plain))
