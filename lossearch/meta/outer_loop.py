"""The outer loop: coefficients go down the hypergradients of tasks that are drawn anew at every step."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
import numpy.typing as npt

from lossearch.meta.estimators.windows import check_horizon, log_uniform
from lossearch.meta.problem import Estimate, Estimator, Problem, Resumable
from lossearch.tasks.streams import Stream, generator
from lossearch.training.seeds import LEARNING

Vector = npt.NDArray[np.float64]

_LEAST = 1e-3
"""Share of the largest gradient below which a coefficient moves less: rounding gives some 1e-5 of it to a coefficient
on which nothing depends, such as a factor on the whole loss where its size is taken out."""


class Coordinates(Protocol):
    """Where coefficients may go, see `lossearch.meta.learnable.Learnable`."""

    def held(self, point: Sequence[float]) -> list[float]:
        """The nearest point within the bounds."""
        ...


@dataclass(frozen=True)
class Request:
    """A hypergradient that an outer step asks for, as plain data.

    Attributes:
        place: of the task among those that are learned on.
        point: of the coefficients.
        horizon: steps of a training that are looked at.
        seeds: of the trainings.
    """

    place: int
    point: tuple[float, ...]
    horizon: int
    seeds: tuple[int, ...]


Estimates = Callable[[Sequence[Request]], list[Estimate]]
"""Answers the requests of an outer step, in their order."""


@dataclass(frozen=True)
class OuterStep:
    """What an outer step did.

    Attributes:
        number: of the step, from 0.
        point: before it.
        value: mean of the tasks' objectives, before it; NaN where no training counts.
        gradient_norm: Euclidean, of the gradient that was followed.
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
    """Adam (Kingma and Ba 2015) on coefficients.

    A step draws some of the tasks, and seeds of trainings, estimates the hypergradient of each task, and moves the
    point along their mean. A task whose trainings all diverge gives nothing; where all do, the point stays.

    Args:
        coordinates: bounds of the points.
        problems: tasks to learn on.
        estimator: of hypergradients.
        start: the first point.
        seed: draws tasks and the seeds of trainings.
        learning_rate: of Adam, in coordinates.
        tasks: drawn at each step.
        seeds: trainings of each task at each step; of an evolution strategy pairs of trainings.
        horizon: steps of a training that are looked at; None takes all.
        shortest: draw the horizon at each step, log-uniformly from this share of it; None does not.
        relative: divide the gradient of each task by its objective, which gives tasks of any scale equal weight;
            objectives are then positive. Gradients of ranks have no scale.
        clip: largest norm of a task's gradient.
    """

    def __init__(
        self,
        coordinates: Coordinates,
        problems: Sequence[Problem],
        estimator: Estimator,
        start: Sequence[float],
        *,
        seed: int,
        learning_rate: float = 0.03,
        tasks: int = 2,
        seeds: int = 1,
        horizon: int | None = None,
        shortest: float | None = None,
        relative: bool = True,
        clip: float = 10.0,
    ) -> None:
        self._coordinates, self._problems, self._estimator = coordinates, list(problems), estimator
        self._seed, self._learning_rate = seed, learning_rate
        self._tasks, self._seeds = min(tasks, len(self._problems)), seeds
        self._horizon, self._shortest, self._relative, self._clip = horizon, shortest, relative, clip
        for problem in self._problems:
            if horizon is not None:
                check_horizon(horizon, problem)
        self.restart(start)
        self.number = 0
        self._estimates: Estimates = lambda requests: [self.answer(one) for one in requests]

    def answer(self, request: Request) -> Estimate:
        """The hypergradient that is asked for, computed here."""
        problem = self._problems[request.place]
        return self._estimator.estimate(problem, request.point, request.horizon, request.seeds)

    def ask(self, estimates: Estimates) -> None:
        """Have the hypergradients of an outer step computed elsewhere, all at once.

        An estimator whose trainings go on from step to step stays here: elsewhere it would not find them again.
        """
        if not isinstance(self._estimator, Resumable):
            self._estimates = estimates

    def restart(self, point: Sequence[float]) -> None:
        """Go on from another point, with nothing remembered of the steps before: trainings in windows begin anew."""
        self.point: Vector = np.array(self._coordinates.held(point), dtype=np.float64)
        self._first, self._second = np.zeros_like(self.point), np.zeros_like(self.point)
        self._moves = 0
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
        found = self._estimates(requests)
        gradient, variance = self._mean(found)
        if gradient is not None:
            self._move(gradient)
        self.number += 1
        values = [one.value for one in found if math.isfinite(one.value)]
        return OuterStep(
            number,
            before,
            sum(values) / len(values) if values else math.nan,
            0.0 if gradient is None else float(np.linalg.norm(gradient)),
            math.nan if variance is None else math.sqrt(float(variance.sum())),
            sum(one.cost for one in found),
            sum(one.diverged for one in found),
        )

    def state(self) -> dict[str, Any]:
        """Everything that the future depends on, as plain data."""
        kept = self._estimator.state() if isinstance(self._estimator, Resumable) else {}
        return {
            "seed": self._seed,
            "number": self.number,
            "moves": self._moves,
            "point": self.point.tolist(),
            "first": self._first.tolist(),
            "second": self._second.tolist(),
            "estimator": kept,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state` was taken."""
        self._seed, self.number, self._moves = state["seed"], state["number"], state["moves"]
        self.point, self._first, self._second = (np.array(state[name]) for name in ("point", "first", "second"))
        if isinstance(self._estimator, Resumable):
            self._estimator.load_state(state["estimator"])

    def _mean(self, found: Sequence[Estimate]) -> tuple[Vector | None, Vector | None]:
        """The mean of the tasks' gradients with its variance; None where there is no gradient, or no variance."""
        gradients: list[Vector] = []
        variances: list[Vector] = []
        for one in found:
            if not math.isfinite(one.value):
                continue
            scale = 1.0 / abs(one.value) if self._relative and one.value != 0.0 else 1.0
            gradient = scale * one.gradient.numpy()
            norm = float(np.linalg.norm(gradient))
            clipped = min(1.0, self._clip / norm) if norm > 0.0 else 1.0
            gradients.append(clipped * gradient)
            variances.append((clipped * scale) ** 2 * one.variance.numpy())
        if not gradients:
            return None, None
        variance = np.mean(variances, axis=0) / len(variances)
        return np.mean(gradients, axis=0), variance if np.isfinite(variance).all() else None

    def _move(self, gradient: Vector) -> None:
        self._moves += 1
        self._first = 0.9 * self._first + 0.1 * gradient
        self._second = 0.99 * self._second + 0.01 * np.square(gradient)
        first, second = self._first / (1 - 0.9**self._moves), self._second / (1 - 0.99**self._moves)
        size = np.sqrt(second)
        moved = self.point - self._learning_rate * first / (size + _LEAST * size.max() + 1e-12)
        self.point = np.array(self._coordinates.held(moved.tolist()))
