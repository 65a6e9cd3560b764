"""The outer loop: coefficients move by what is estimated on tasks that are drawn anew at every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

from lossearch.meta.estimators.evolution import ranked_outcomes
from lossearch.meta.estimators.windows import check_horizon, log_uniform
from lossearch.meta.outer_optimizers import OuterOptimizer, Vector
from lossearch.meta.problem import Estimate, Estimator, Problem, Resumable
from lossearch.tasks.streams import Stream, generator
from lossearch.training.seeds import LEARNING


@dataclass(frozen=True)
class Request:
    """What an outer step asks for of one task, as plain data: a hypergradient, or how points rank.

    Attributes:
        place: of the task among those that are learned on.
        point: of the coefficients.
        horizon: steps of a training that are looked at.
        seeds: of the trainings.
        points: whose outcomes are asked for, in place of a hypergradient; see `OuterOptimizer.points`.
    """

    place: int
    point: tuple[float, ...]
    horizon: int
    seeds: tuple[int, ...]
    points: tuple[tuple[float, ...], ...] = ()


Estimates = Callable[[Sequence[Request]], list[Estimate]]
"""Answers the requests of an outer step, in their order."""


@dataclass(frozen=True)
class OuterStep:
    """What an outer step did.

    Attributes:
        number: of the step, from 0.
        point: before it.
        value: mean of the tasks' objectives, before it; NaN where no training counts.
        gradient_norm: Euclidean, of the gradient that was followed; NaN where none was estimated.
        gradient_error: root of the summed variance of that gradient; NaN where it is not known.
        cost: training steps.
        diverged: trainings that do not count.
    """

    number: int
    point: tuple[float, ...]
    value: float
    gradient_norm: float
    gradient_error: float
    cost: int
    diverged: int


class OuterLoop:
    """Steps of an optimiser of coefficients.

    A step draws some of the tasks, and seeds of trainings, has the hypergradient of each task estimated, or points
    ranked on it, and lets the optimiser move the point. A task whose trainings all diverge gives nothing; where all do,
    the point stays.

    Args:
        optimizer: moves the point.
        problems: tasks to learn on.
        estimator: of hypergradients, for an optimiser that follows them.
        start: the first point.
        seed: draws tasks and the seeds of trainings.
        tasks: drawn at each step.
        seeds: trainings of each task at each step; of an evolution strategy pairs of trainings.
        horizon: steps of a training that are looked at; None takes all.
        shortest: draw the horizon at each step, log-uniformly from this share of it; None does not.
    """

    def __init__(
        self,
        optimizer: OuterOptimizer,
        problems: Sequence[Problem],
        estimator: Estimator,
        start: Sequence[float],
        *,
        seed: int,
        tasks: int = 2,
        seeds: int = 1,
        horizon: int | None = None,
        shortest: float | None = None,
    ) -> None:
        self._optimizer, self._problems, self._estimator = optimizer, list(problems), estimator
        self._seed, self._seeds, self._tasks = seed, seeds, min(tasks, len(self._problems))
        self._horizon, self._shortest = horizon, shortest
        for problem in self._problems:
            if horizon is not None:
                check_horizon(horizon, problem)
        self.restart(start)
        self.number = 0
        self._estimates: Estimates = lambda requests: [self.answer(one) for one in requests]

    @property
    def point(self) -> Vector:
        """Where the coefficients are."""
        return self._optimizer.point

    def answer(self, request: Request) -> Estimate:
        """What is asked for, computed here."""
        problem = self._problems[request.place]
        if request.points:
            return ranked_outcomes(problem, request.points, request.seeds)
        return self._estimator.estimate(problem, request.point, request.horizon, request.seeds)

    def ask(self, estimates: Estimates) -> None:
        """Have what an outer step asks for computed elsewhere, all at once.

        An estimator whose trainings go on from step to step stays here: elsewhere it would not find them again.
        """
        if not isinstance(self._estimator, Resumable):
            self._estimates = estimates

    def restart(self, point: Sequence[float]) -> None:
        """Go on from another point, with nothing remembered of the steps before: trainings in windows begin anew."""
        self._optimizer.restart(point)
        if isinstance(self._estimator, Resumable):
            self._estimator.load_state({})

    def step(self) -> OuterStep:
        """One outer step."""
        draw = generator(self._seed, Stream.OUTER_STEPS, self.number)
        chosen = draw.permutation(len(self._problems))[: self._tasks]
        before, number = tuple(self.point.tolist()), self.number
        requests: list[Request] = []
        for place in map(int, chosen):
            problem = self._problems[place]
            seeds = [LEARNING[int(k)] for k in draw.integers(len(LEARNING), size=self._seeds)]
            horizon = self._horizon or problem.steps
            if self._shortest is not None:
                horizon = log_uniform(max(1, math.ceil(self._shortest * horizon)), horizon, float(draw.random()))
            requests.append(Request(place, before, horizon, tuple(seeds)))
        points = self._optimizer.points(draw)
        found = self._estimates([replace(request, points=points) for request in requests])
        moved = self._optimizer.move(found)
        self.number += 1
        values = [one.value for one in found if math.isfinite(one.value)]
        return OuterStep(
            number,
            before,
            sum(values) / len(values) if values else math.nan,
            moved.norm,
            moved.error,
            sum(one.cost for one in found),
            sum(one.diverged for one in found),
        )

    def state(self) -> dict[str, Any]:
        """Everything that the future depends on, as plain data."""
        kept = self._estimator.state() if isinstance(self._estimator, Resumable) else {}
        return {"seed": self._seed, "number": self.number, "estimator": kept, **self._optimizer.state()}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state` was taken."""
        self._seed, self.number = state["seed"], state["number"]
        self._optimizer.load_state(state)
        if isinstance(self._estimator, Resumable):
            self._estimator.load_state(state["estimator"])
