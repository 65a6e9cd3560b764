"""Small inner problems in float64, of which everything is known."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor

from lossearch.meta.problem import scaled_to, whole_outcomes
from lossearch.training.optimizers import Update, make_update


class Regression:
    """A network of one hidden layer with a loss |r|^p-like in its residual: Σ (r² + δ²)^(a/2) + b·mean(θ²)."""

    name = "regression"

    def __init__(self, steps: int = 12, update: Update | None = None, neutral: bool = False, rate: float = 0.1) -> None:
        self.steps, self.neutral, self.rate = steps, neutral, rate
        self.update = update or make_update("sgd", 0.0, 0.9)

    def episode(self, seeds: Sequence[int]) -> RegressionEpisode:
        return RegressionEpisode(self, seeds)

    def outcomes(self, points: Sequence[Sequence[float]], seeds: Sequence[int]) -> list[float]:
        return whole_outcomes(self, points, seeds)


class RegressionEpisode:
    hidden = 4

    def __init__(self, problem: Regression, seeds: Sequence[int]) -> None:
        self.steps, self.update = problem.steps, problem.update
        self._neutral, self._rate = problem.neutral, problem.rate
        data = [self._data(seed) for seed in seeds]
        self.x, self.y, self.vx, self.vy, self.w = (torch.stack(parts) for parts in zip(*data, strict=True))

    def _data(self, seed: int) -> tuple[Tensor, ...]:
        draw = torch.Generator().manual_seed(seed)

        def normal(*shape: int) -> Tensor:
            return torch.randn(*shape, generator=draw, dtype=torch.float64)

        x, vx = normal(40, 3), normal(20, 3)
        y, vy = x.sin().sum(1) + 0.3 * normal(40), vx.sin().sum(1)
        return x, y, vx, vy, 0.5 * normal(3 * self.hidden + 2 * self.hidden + 1)

    def initial_weights(self) -> Tensor:
        return self.w.clone()

    def inner_coefficients(self, points: Tensor) -> Tensor:
        return torch.cat([1.0 + torch.sigmoid(points[:, :1]), 0.1 * points[:, 1:].exp()], 1)

    def _predicted(self, weights: Tensor, x: Tensor) -> Tensor:
        h = self.hidden
        first, bias, second, last = weights.split([3 * h, h, h, 1], 1)
        hidden = torch.tanh(x @ first.reshape(-1, 3, h) + bias.unsqueeze(1))
        return (hidden @ second.unsqueeze(2)).squeeze(2) + last

    def loss(self, weights: Tensor, coefficients: Tensor, step: int) -> Tensor:
        rows = (torch.arange(10) + 7 * step) % 40
        residual = self._predicted(weights, self.x[:, rows]) - self.y[:, rows]
        power = (residual.square() + 0.01) ** (coefficients[:, :1] / 2)
        return power.mean(1) + coefficients[:, 1] * weights.square().mean(1)

    def settled(self, gradient: Tensor) -> Tensor:
        size = torch.full_like(gradient[:, :1], 0.3)
        return scaled_to(gradient, size) if self._neutral else gradient

    def rates(self, step: int) -> tuple[Tensor, float]:
        return torch.full((len(self.w), 1), self._rate, dtype=torch.float64), 1.0 - step / (2 * self.steps)

    def objective(self, weights: Tensor) -> Tensor:
        return (self._predicted(weights, self.vx) - self.vy).square().mean(1)


def differences(problem: Regression, point: Sequence[float], seeds: Sequence[int], step: float = 1e-5) -> Tensor:
    """Central differences of the mean outcome of whole trainings, by Richardson's rule, `[coefficient]`."""

    def slope(k: int, h: float) -> float:
        ends = [[x + sign * h * (j == k) for j, x in enumerate(point)] for sign in (1.0, -1.0)]
        high, low = (sum(problem.outcomes([end] * len(seeds), seeds)) for end in ends)
        return (high - low) / (2 * h * len(seeds))

    found = [(4 * slope(k, step) - slope(k, 2 * step)) / 3 for k in range(len(point))]
    assert all(map(math.isfinite, found))
    return torch.tensor(found, dtype=torch.float64)


class Ridge:
    """Ridge regression by full-batch descent: strongly convex, with one coefficient the logarithm of the penalty.

    The other is the weight of half of the samples. Its solution, and so its hypergradient, has a closed form.
    """

    name = "ridge"

    def __init__(self, steps: int, rate: float = 0.2) -> None:
        self.steps, self.rate = steps, rate
        self.update = make_update("sgd", 0.0, 0.0)

    def episode(self, seeds: Sequence[int]) -> RidgeEpisode:
        return RidgeEpisode(self, seeds)

    def outcomes(self, points: Sequence[Sequence[float]], seeds: Sequence[int]) -> list[float]:
        return whole_outcomes(self, points, seeds)


class RidgeEpisode:
    def __init__(self, problem: Ridge, seeds: Sequence[int]) -> None:
        self.steps, self.update, self._rate = problem.steps, problem.update, problem.rate
        self._runs = len(seeds)
        draw = torch.Generator().manual_seed(11)
        truth = torch.tensor([1.0, -2.0, 0.5], dtype=torch.float64)
        self.x, self.vx = (torch.randn(30, 3, generator=draw, dtype=torch.float64) for _ in range(2))
        noise = torch.randn(30, generator=draw, dtype=torch.float64)
        self.y, self.vy = self.x @ truth + 0.5 * noise, self.vx @ truth

    def initial_weights(self) -> Tensor:
        return torch.zeros(self._runs, 3, dtype=torch.float64)

    def inner_coefficients(self, points: Tensor) -> Tensor:
        return points

    def loss(self, weights: Tensor, coefficients: Tensor, step: int) -> Tensor:
        residual = (weights @ self.x.T - self.y).square()
        first, second = residual[:, :15].mean(1), residual[:, 15:].mean(1)
        share = torch.sigmoid(coefficients[:, 1])
        return share * first + (1 - share) * second + coefficients[:, 0].exp() * weights.square().sum(1)

    def settled(self, gradient: Tensor) -> Tensor:
        return gradient

    def rates(self, step: int) -> tuple[Tensor, float]:
        return torch.full((self._runs, 1), self._rate, dtype=torch.float64), 1.0

    def objective(self, weights: Tensor) -> Tensor:
        return (weights @ self.vx.T - self.vy).square().mean(1)

    def solved(self, point: Tensor) -> Tensor:
        """The objective at the solution, differentiable in the point."""
        share = torch.sigmoid(point[1])
        per = torch.cat([share.repeat(15), (1 - share).repeat(15)]) / 15
        matrix = self.x.T @ (per[:, None] * self.x) + point[0].exp() * torch.eye(3, dtype=torch.float64)
        weights = torch.linalg.solve(matrix, self.x.T @ (per * self.y))
        return (self.vx @ weights - self.vy).square().mean()
