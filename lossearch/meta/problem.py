"""Inner problems: trainings as pure functions of weights and coefficients, of which estimators take hypergradients."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

import torch
from torch import Tensor

from lossearch.training.optimizers import State, Update


class Episode(Protocol):
    """One training of several runs side by side. No operation mixes runs.

    Inner coefficients are what the inner loss takes: those of the learned loss, and whatever else a training derives
    from a point before its first step.

    Attributes:
        steps: of the whole training.
        update: of the inner optimiser.
    """

    steps: int
    update: Update

    def initial_weights(self) -> Tensor:
        """`[run, parameter]`."""
        ...

    def inner_coefficients(self, points: Tensor) -> Tensor:
        """Inner coefficients `[run, inner coefficient]` at the point of each run, `[run, coefficient]`."""
        ...

    def loss(self, weights: Tensor, coefficients: Tensor, step: int) -> Tensor:
        """The learned loss `[run]` of each run on its training batch of a step."""
        ...

    def settled(self, gradient: Tensor) -> Tensor:
        """The gradient `[run, parameter]` as the optimiser takes it, such as at a fixed size."""
        ...

    def rates(self, step: int) -> tuple[Tensor, float]:
        """Learning rates `[run, 1]`, and the factor of the schedule."""
        ...

    def objective(self, weights: Tensor) -> Tensor:
        """What the outer loop lowers, `[run]`, on data that no step trains on."""
        ...


class Problem(Protocol):
    """What coefficients are learned for, such as a task: trainings by seed.

    Attributes:
        name: for messages.
        steps: of a whole training.
    """

    name: str
    steps: int

    def episode(self, seeds: Sequence[int]) -> Episode:
        """A training of as many runs as there are seeds, of initial weights, batches and data."""
        ...

    def outcomes(self, points: Sequence[Sequence[float]], seeds: Sequence[int]) -> list[float]:
        """What the outer loop lowers after a whole training at each point with its seed; NaN where it diverged.

        It need not be differentiable: a task's own metric is taken where that is the objective.
        """
        ...


Training = tuple[Tensor, State]
"""Weights and the optimiser's state of a training under way."""


def begun(episode: Episode) -> Training:
    """The state before the first step."""
    weights = episode.initial_weights()
    return weights, tuple(torch.zeros_like(weights) for _ in range(episode.update.tensors))


def moved(episode: Episode, training: Training, gradient: Tensor, step: int) -> Training:
    """The state after an update along a gradient of the inner loss."""
    weights, state = training
    rates, scale = episode.rates(step)
    return episode.update.of(weights, state, episode.settled(gradient), rates, scale, step)


def plain_step(episode: Episode, training: Training, coefficients: Tensor, step: int) -> Training:
    """One step of a training, of which nothing is differentiated."""
    weights = training[0].detach().requires_grad_()
    with torch.enable_grad():
        (gradient,) = torch.autograd.grad(episode.loss(weights, coefficients, step).sum(), weights)
    with torch.no_grad():
        return moved(episode, (weights.detach(), training[1]), gradient, step)


def trained(episode: Episode, training: Training, coefficients: Tensor, start: int, stop: int) -> Training:
    """The state after the steps `start` … `stop - 1`, of which nothing is differentiated."""
    for step in range(start, stop):
        training = plain_step(episode, training, coefficients, step)
    return training


def scaled_to(gradient: Tensor, size: Tensor) -> Tensor:
    """A gradient `[run, parameter]` with the root mean square `[run, 1]` in each run; zero where it is zero."""
    square = gradient.square().mean(1, keepdim=True)
    alive = square > 0.0
    # The root has no finite slope at zero.
    return gradient * (size * alive / torch.where(alive, square, 1.0).sqrt())


def whole_outcomes(problem: Problem, points: Sequence[Sequence[float]], seeds: Sequence[int]) -> list[float]:
    """The objective after a whole training at each point, by the problem's own episode."""
    episode = problem.episode(seeds)
    start = begun(episode)
    with torch.no_grad():
        given = torch.tensor([list(map(float, point)) for point in points], dtype=start[0].dtype)
        coefficients = episode.inner_coefficients(given.to(start[0].device))
    weights, _ = trained(episode, start, coefficients, 0, episode.steps)
    with torch.no_grad():
        return [value if math.isfinite(value) else math.nan for value in episode.objective(weights).tolist()]


@dataclass(frozen=True)
class Estimate:
    """A hypergradient: of the objective, over several trainings.

    Attributes:
        value: mean objective of the trainings that count; NaN where none does.
        gradient: mean over them, `[coefficient]`, float64; zero where none counts.
        variance: of that mean, `[coefficient]`; NaN where fewer than two count.
        cost: training steps, each a gradient of a batch, that it took.
        diverged: trainings that do not count, since something in them was not finite.
        notes: what an estimator tells of itself, such as the residual of a solver.
        ranks: of each point whose outcome was asked for in place of a gradient: from -1/2 for the lowest to 1/2, the
            mean over seeds.
    """

    value: float
    gradient: Tensor
    variance: Tensor
    cost: int
    diverged: int = 0
    notes: tuple[tuple[str, float], ...] = ()
    ranks: tuple[float, ...] = ()


def averaged(values: Tensor, gradients: Tensor, cost: int, notes: tuple[tuple[str, float], ...] = ()) -> Estimate:
    """The estimate from values `[draw]` and gradients `[draw, coefficient]` of independent draws."""
    values, gradients = values.detach().double().cpu(), gradients.detach().double().cpu()
    sound = values.isfinite() & gradients.isfinite().all(1)
    count, coefficients = int(sound.sum()), gradients.shape[1]
    if count == 0:
        nothing = torch.full((coefficients,), math.nan, dtype=torch.float64)
        zero = torch.zeros(coefficients, dtype=torch.float64)
        return Estimate(math.nan, zero, nothing, cost, len(values), notes)
    kept = gradients[sound]
    spread = kept.var(0) / count if count > 1 else torch.full((coefficients,), math.nan, dtype=torch.float64)
    return Estimate(float(values[sound].mean()), kept.mean(0), spread, cost, len(values) - count, notes)


class Estimator(Protocol):
    """A way to estimate hypergradients."""

    def estimate(self, problem: Problem, point: Sequence[float], horizon: int, seeds: Sequence[int]) -> Estimate:
        """The hypergradient at a point.

        Args:
            problem: what is trained.
            point: of the coefficients.
            horizon: steps of a training that are looked at, at most those of the problem.
            seeds: of the trainings, and of whatever else is drawn.
        """
        ...


@runtime_checkable
class Resumable(Protocol):
    """An estimator that remembers something from call to call."""

    def state(self) -> dict[str, Any]:
        """As plain data."""
        ...

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on exactly where `state` was taken."""
        ...
