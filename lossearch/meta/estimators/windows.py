"""Long trainings in windows: an outer step after each window, with the training going on in between."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from typing import Any

import torch
from torch import Tensor

from lossearch.errors import UserError
from lossearch.meta.estimators.evolution import perturbations
from lossearch.meta.estimators.unrolled import unrolled
from lossearch.meta.points import repeated
from lossearch.meta.problem import Episode, Estimate, Problem, Training, averaged, begun, trained


class _Windows(ABC):
    """An estimator whose trainings go on from one call to the next, a window of `horizon` steps at each.

    The trainings of a problem begin anew, with the seeds of the call, once they have reached its last step. What is
    kept to resume is the points of the windows so far: the trainings are run again from them.
    """

    def __init__(self) -> None:
        self._going: dict[str, _Going] = {}
        self._waiting: dict[str, dict[str, Any]] = {}

    def estimate(self, problem: Problem, point: Sequence[float], horizon: int, seeds: Sequence[int]) -> Estimate:
        """See `Estimator`; the seeds count where trainings begin."""
        going = self._going.get(problem.name) or self._resumed(problem)
        if going is None or going.done >= problem.steps:
            going = self._going[problem.name] = _Going(list(seeds), self._begin(problem, list(seeds)))
        window = min(horizon, problem.steps - going.done)
        found = self._window(problem, going, point, window)
        going.done += window
        going.past.append((window, list(map(float, point))))
        return found

    def state(self) -> dict[str, Any]:
        """What the trainings under way were given, as plain data."""
        kept = {name: {"seeds": one.seeds, "past": [list(p) for p in one.past]} for name, one in self._going.items()}
        return {**self._waiting, **kept}

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Go on where `state` was taken; each problem's trainings are run again when it is met."""
        self._going, self._waiting = {}, dict(state)

    def _resumed(self, problem: Problem) -> _Going | None:
        kept = self._waiting.pop(problem.name, None)
        if kept is None:
            return None
        going = self._going[problem.name] = _Going(kept["seeds"], self._begin(problem, kept["seeds"]))
        for window, point in kept["past"]:
            self._pass(going, point, window)
            going.done += window
            going.past.append((window, point))
        return going

    @abstractmethod
    def _begin(self, problem: Problem, seeds: list[int]) -> _Trainings:
        """Trainings at their start."""

    @abstractmethod
    def _window(self, problem: Problem, going: _Going, point: Sequence[float], window: int) -> Estimate:
        """The estimate of a window; the trainings are left at its end."""

    @abstractmethod
    def _pass(self, going: _Going, point: Sequence[float], window: int) -> None:
        """Leave the trainings at the end of a window, and nothing else."""


class _Trainings:
    """Trainings under way.

    Attributes:
        episode: of all of them.
        training: weights and optimiser's state.
        noise: of each pair of trainings, `[pair, coefficient]`; none without pairs.
        sum: of the noise of all windows so far.
    """

    def __init__(self, episode: Episode, noise: Tensor | None = None) -> None:
        self.episode = episode
        self.training: Training = begun(episode)
        self.noise = noise
        self.sum = None if noise is None else torch.zeros_like(noise)


class _Going:
    def __init__(self, seeds: list[int], trainings: _Trainings) -> None:
        self.seeds, self.trainings = seeds, trainings
        self.done = 0
        self.past: list[tuple[int, list[float]]] = []


class Persistent(_Windows):
    """Persistent evolution strategies (Vicol et al. 2021), or with one draw an episode NRES (Li et al. 2023).

    A pair of trainings goes on with perturbed coefficients, and each window's change of the objective weighs all
    perturbations that led to it: ĝ = 1/(2Nσ²) Σ ξᵢ [V(φ + εᵢ) - V(φ - εᵢ)], where V is the objective at the end of the
    window, and ξᵢ the sum of the perturbations of all windows of the episode so far. The sum of the windows' estimates
    has the gradient of the smoothed sum of the windows' objectives as its mean.

    Args:
        pairs: N, of each seed.
        sigma: σ, in coordinates.
        fresh: whether every window draws its own perturbations (PES); else they stay through an episode (NRES), and
            ξᵢ = εᵢ.
    """

    def __init__(self, pairs: int = 16, sigma: float = 0.05, fresh: bool = True) -> None:
        super().__init__()
        self._pairs, self._sigma, self.fresh = pairs, sigma, fresh

    def _begin(self, problem: Problem, seeds: list[int]) -> _Trainings:
        paired = [seed for seed in seeds for _ in range(self._pairs)]
        episode = problem.episode(paired + paired)
        return _Trainings(episode, torch.zeros(0))

    def _window(self, problem: Problem, going: _Going, point: Sequence[float], window: int) -> Estimate:
        trainings = going.trainings
        self._pass(going, point, window)
        with torch.no_grad():
            values = trainings.episode.objective(trainings.training[0]).double().reshape(2, -1)
        assert trainings.sum is not None
        weights = ((values[0] - values[1]) / (2 * self._sigma**2)).unsqueeze(1)
        gradients = weights * trainings.sum.to(weights)
        return averaged(values.mean(0), gradients, window * 2 * values.shape[1])

    def _pass(self, going: _Going, point: Sequence[float], window: int) -> None:
        trainings, drawn = going.trainings, len(going.past) if self.fresh else 0
        if self.fresh or not going.past:
            rows = [
                perturbations(seed + _WINDOWS * drawn, self._pairs, len(point), self._sigma) for seed in going.seeds
            ]
            noise = torch.cat([torch.from_numpy(row) for row in rows])
            trainings.noise = noise
            before = trainings.sum if going.past else None
            trainings.sum = noise if before is None else before + noise
        assert trainings.noise is not None
        like = trainings.training[0]
        shifts = torch.cat([trainings.noise, -trainings.noise]).to(like)
        with torch.no_grad():
            coefficients = trainings.episode.inner_coefficients(repeated(point, like).detach() + shifts)
        trainings.training = trained(
            trainings.episode, trainings.training, coefficients, going.done, going.done + window
        )


_WINDOWS = 2**40
"""Between the seeds of the draws of two windows."""


class Online(_Windows):
    """Reverse mode through the next `horizon` steps of trainings that go on meanwhile (Raymond et al. 2023, AdaLFL).

    The loss adapts to how far the trainings are; with a horizon of one step this is the online rule of AdaLFL. Its
    gradient knows nothing of what comes after the window.
    """

    def _begin(self, problem: Problem, seeds: list[int]) -> _Trainings:
        return _Trainings(problem.episode(seeds))

    def _window(self, problem: Problem, going: _Going, point: Sequence[float], window: int) -> Estimate:
        trainings = going.trainings
        episode, training = trainings.episode, trainings.training
        points = repeated(point, training[0])
        coefficients = episode.inner_coefficients(points)
        start = training[0].detach().requires_grad_(), training[1]
        weights, state = unrolled(episode, start, coefficients, going.done, going.done + window)
        values = episode.objective(weights)
        (gradient,) = torch.autograd.grad(values.sum(), points)
        trainings.training = weights.detach(), tuple(one.detach() for one in state)
        return averaged(values, gradient, window * len(going.seeds))

    def _pass(self, going: _Going, point: Sequence[float], window: int) -> None:
        trainings = going.trainings
        with torch.no_grad():
            coefficients = trainings.episode.inner_coefficients(repeated(point, trainings.training[0]).detach())
        trainings.training = trained(
            trainings.episode, trainings.training, coefficients, going.done, going.done + window
        )


def check_horizon(horizon: int, problem: Problem) -> None:
    """Raise `UserError` for a horizon that is longer than a training."""
    if not 1 <= horizon <= problem.steps:
        required = f"a horizon from 1 to {problem.steps} steps, those of a training of {problem.name}"
        raise UserError(required, str(horizon), "lower horizon, or raise the steps of trainings")


def log_uniform(low: int, high: int, u: float) -> int:
    """A whole number in [low, high] whose logarithm is uniform, from u in [0, 1)."""
    return min(high, max(low, round(math.exp(math.log(low) + u * (math.log(high) - math.log(low))))))
