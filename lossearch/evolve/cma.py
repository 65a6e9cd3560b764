"""The evolution strategy with covariance matrix adaptation, of a vector and nothing else (Hansen 2016)."""

from __future__ import annotations

import math
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

import numpy as np
import numpy.typing as npt

Vector = npt.NDArray[np.float64]

_LEAST = 1e-14  # eigenvalue of the covariance, relative to the largest: rounding makes smaller ones negative


def default_population(dimensions: int) -> int:
    """4 + ⌊3 ln n⌋."""
    return 4 + math.floor(3 * math.log(dimensions))


@dataclass(frozen=True)
class Rates:
    """Weights of a generation, best first, and the learning rates that follow from them (Hansen 2016, table 1).

    Attributes:
        weights: of all points, Σ = 1; the worse half has none.
        effective: variance-effective selection mass μ_eff.
        c_sigma: of the path of the step size.
        damping: d_σ, of the change of the step size.
        c_path: c_c, of the path of the covariance.
        c_one: c_1, of the rank-one update.
        c_mu: c_μ, of the rank-μ update.
    """

    weights: Vector
    effective: float
    c_sigma: float
    damping: float
    c_path: float
    c_one: float
    c_mu: float

    @classmethod
    def of(cls, n: int, points: int, failed: int) -> Self:
        """For a generation of so many points in n dimensions, the last of which have failed.

        Failed points are all alike: they share the weights of their ranks.
        """
        ranks = np.arange(1, points + 1)
        weights = np.maximum(math.log((points + 1) / 2) - np.log(ranks), 0.0)
        if failed:
            weights[-failed:] = weights[-failed:].mean()
        weights /= weights.sum()
        effective = float(1.0 / np.square(weights).sum())
        c_sigma = (effective + 2) / (n + effective + 5)
        c_one = 2 / ((n + 1.3) ** 2 + effective)
        return cls(
            weights,
            effective,
            c_sigma,
            1 + 2 * max(0.0, math.sqrt((effective - 1) / (n + 1)) - 1) + c_sigma,
            (4 + effective / n) / (n + 4 + 2 * effective / n),
            c_one,
            min(1 - c_one, 2 * (0.25 + effective + 1 / effective - 2) / ((n + 2) ** 2 + effective)),
        )


class CMA:
    """A normal distribution that learns where the better points are.

    With rank-one and rank-μ update of the covariance and cumulative control of the step size; without the negative
    weights of the active update.

    Args:
        mean: where it begins.
        sigma: step size, a standard deviation in every coordinate at first.
    """

    def __init__(self, mean: Sequence[float], sigma: float) -> None:
        n = len(mean)
        self.mean: Vector = np.array(mean, dtype=np.float64)
        self.sigma = sigma
        self.covariance: Vector = np.eye(n)
        self.path_sigma: Vector = np.zeros(n)
        self.path: Vector = np.zeros(n)
        self.updates = 0
        self._decompose()

    def _decompose(self) -> None:
        """C = B D² Bᵀ."""
        values, self._axes = np.linalg.eigh(self.covariance)
        self._lengths: Vector = np.sqrt(np.maximum(values, _LEAST * values[-1]))

    def sample(self, rng: random.Random) -> Vector:
        """A point of the distribution."""
        normal = np.array([rng.gauss(0.0, 1.0) for _ in self.mean])
        return self.mean + self.sigma * (self._axes @ (self._lengths * normal))

    def update(self, points: Sequence[Sequence[float]], failed: int = 0) -> None:
        """Learn from a generation.

        Args:
            points: that were drawn, best first; at least two.
            failed: how many of them, the last, have no rank of their own. Where all have none, nothing is learned.
        """
        if failed == len(points):
            return
        n, rates = len(self.mean), Rates.of(len(self.mean), len(points), failed)
        steps = (np.array(points, dtype=np.float64) - self.mean) / self.sigma
        step = rates.weights @ steps
        self.mean = self.mean + self.sigma * step
        self.updates += 1

        c = rates.c_sigma
        whitened = self._axes @ ((self._axes.T @ step) / self._lengths)
        self.path_sigma = (1 - c) * self.path_sigma + math.sqrt(c * (2 - c) * rates.effective) * whitened
        length = float(np.linalg.norm(self.path_sigma))
        expected = math.sqrt(n) * (1 - 1 / (4 * n) + 1 / (21 * n**2))  # E‖N(0, I)‖
        # A long path stalls the rank-one update, so that a step size that is far too small grows first.
        holds = length / math.sqrt(1 - (1 - c) ** (2 * self.updates)) < (1.4 + 2 / (n + 1)) * expected

        c = rates.c_path
        push = math.sqrt(c * (2 - c) * rates.effective) if holds else 0.0
        self.path = (1 - c) * self.path + push * step
        missing = 0.0 if holds else rates.c_one * c * (2 - c)
        kept = 1 + missing - rates.c_one - rates.c_mu
        of_path, of_steps = np.outer(self.path, self.path), (steps.T * rates.weights) @ steps
        covariance = kept * self.covariance + rates.c_one * of_path + rates.c_mu * of_steps
        self.covariance = (covariance + covariance.T) / 2
        self.sigma *= math.exp(min(1.0, (rates.c_sigma / rates.damping) * (length / expected - 1)))
        self._decompose()

    def state(self) -> dict[str, Any]:
        """As plain data."""
        return {
            "mean": self.mean.tolist(),
            "sigma": self.sigma,
            "covariance": self.covariance.tolist(),
            "path_sigma": self.path_sigma.tolist(),
            "path": self.path.tolist(),
            "updates": self.updates,
        }

    def load_state(self, state: Mapping[str, Any]) -> None:
        """Continue exactly where `state` was taken."""
        self.sigma, self.updates = state["sigma"], state["updates"]
        for name in ("mean", "covariance", "path_sigma", "path"):
            setattr(self, name, np.array(state[name], dtype=np.float64))
        self._decompose()
