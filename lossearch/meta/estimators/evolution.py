"""Antithetic evolution strategies over whole trainings (Salimans et al. 2017)."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
import torch

from lossearch.meta.problem import Estimate, Problem, averaged
from lossearch.tasks.streams import Stream, generator


class Evolution:
    """The gradient of the objective smoothed by a normal distribution, without any of the training's derivatives.

    ĝ = 1/(2Nσ²) Σ εᵢ [V(φ + εᵢ) - V(φ - εᵢ)], εᵢ ~ N(0, σ²I). The two trainings of a pair share weights and batches.
    It has no horizon bias, and the objective may be any metric.

    Args:
        pairs: N, of each seed.
        sigma: σ, in coordinates.
        ranks: whether the ranks of all outcomes of one seed, spread evenly over [-1/2, 1/2], stand for the outcomes.
            A training that diverges then ranks last; otherwise its pair does not count.
    """

    def __init__(self, pairs: int = 16, sigma: float = 0.05, ranks: bool = False) -> None:
        self._pairs, self._sigma, self._ranks = pairs, sigma, ranks

    def estimate(self, problem: Problem, point: Sequence[float], horizon: int, seeds: Sequence[int]) -> Estimate:
        """See `Estimator`; trainings are whole, whatever the horizon."""
        center = np.asarray(point, dtype=np.float64)
        draws = np.concatenate([perturbations(seed, self._pairs, len(center), self._sigma) for seed in seeds])
        points = np.concatenate([center + draws, center - draws])
        of = [seed for _ in range(2) for seed in seeds for _ in range(self._pairs)]
        outcomes = np.array(problem.outcomes(points.tolist(), of)).reshape(2, len(seeds), self._pairs)
        diverged = int(np.isnan(outcomes).sum())
        values = outcomes.mean(0).reshape(-1)
        shaped = _ranked(outcomes) if self._ranks else outcomes
        weights = ((shaped[0] - shaped[1]) / (2 * self._sigma**2)).reshape(-1, 1)
        gradients = torch.from_numpy(weights * draws)
        cost = len(points) * problem.steps
        if not self._ranks:
            return averaged(torch.from_numpy(values), gradients, cost)
        found = averaged(torch.zeros(len(draws)), gradients, cost)
        sound = outcomes[~np.isnan(outcomes)]
        value = float(sound.mean()) if sound.size else math.nan
        return Estimate(value, found.gradient, found.variance, cost, diverged)


def perturbations(seed: int, pairs: int, coefficients: int, sigma: float) -> np.ndarray:
    """The perturbations of a seed, `[pair, coefficient]`, each N(0, σ²)."""
    return sigma * generator(seed, Stream.PERTURBATIONS).standard_normal((pairs, coefficients))


def ranked_outcomes(problem: Problem, points: Sequence[Sequence[float]], seeds: Sequence[int]) -> Estimate:
    """How whole trainings at some points rank; those of one seed share weights and batches. There is no gradient."""
    given = [point for _ in seeds for point in points]
    of = [seed for seed in seeds for _ in points]
    outcomes = np.array(problem.outcomes(given, of)).reshape(len(seeds), len(points))
    sound = outcomes[~np.isnan(outcomes)]
    nothing = torch.zeros(len(points[0]), dtype=torch.float64)
    return Estimate(
        float(sound.mean()) if sound.size else math.nan,
        nothing,
        torch.full_like(nothing, math.nan),
        len(given) * problem.steps,
        int(np.isnan(outcomes).sum()),
        ranks=tuple(np.mean([_ranks(one) for one in outcomes], axis=0).tolist()),
    )


def _ranked(outcomes: np.ndarray) -> np.ndarray:
    """The ranks of outcomes `[side, seed, pair]` within each seed."""
    found = np.empty_like(outcomes)
    for k in range(outcomes.shape[1]):
        found[:, k] = _ranks(outcomes[:, k].reshape(-1)).reshape(2, -1)
    return found


def _ranks(outcomes: np.ndarray) -> np.ndarray:
    """Ranks, evenly over [-1/2, 1/2], the lowest first and what diverged last; equal ones share theirs."""
    flat = np.nan_to_num(outcomes, nan=math.inf)
    below = (flat[:, None] > flat[None, :]).sum(1)
    equal = (flat[:, None] == flat[None, :]).sum(1) - 1
    return (below + 0.5 * equal) / (len(flat) - 1) - 0.5
