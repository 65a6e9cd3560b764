"""The implicit function theorem at the end of a training (Lorraine et al. 2020; Rajeswaran et al. 2019)."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Literal

import torch
from torch import Tensor
from torch.func import grad, jvp

from lossearch.meta.points import begun_at, objective_gradient
from lossearch.meta.problem import Episode, Estimate, Problem, averaged, trained

Operator = Callable[[Tensor], Tensor]
"""A symmetric matrix of each run times a vector of each, `[run, parameter]`."""

_POWER_STEPS = 20


class Implicit:
    """∇φ = -∂²L/∂φ∂θ q with (H + λI) q = ∇V, where H is the Hessian of the inner loss at the weights that were reached.

    Right where the training has converged and the inner loss, with its penalty on weights, is convex there. What a
    training learns before it converges, such as robustness to wrong labels, it does not see.

    Args:
        solver: "cg", conjugate gradients of at most `iterations` steps, which a run leaves where its curvature is not
            positive; or "neumann", as many terms of the series with α = 1 / λ_max, found by power iteration.
        iterations: of the solver.
        damping: λ relative to the mean eigenvalue tr(H) / n, estimated by Hutchinson's method with one draw.
        batches: training batches whose mean loss stands for the inner loss.
    """

    def __init__(
        self,
        solver: Literal["cg", "neumann"] = "cg",
        iterations: int = 20,
        damping: float = 1e-2,
        batches: int = 8,
    ) -> None:
        self._solver, self._iterations, self._damping, self._batches = solver, iterations, damping, batches

    def estimate(self, problem: Problem, point: Sequence[float], horizon: int, seeds: Sequence[int]) -> Estimate:
        """See `Estimator`; the training ends after `horizon` steps. Notes tell the relative residual."""
        episode, training, points, coefficients = begun_at(problem, point, seeds)
        fixed = coefficients.detach()
        weights = trained(episode, training, fixed, 0, horizon)[0].detach()
        values, outer = objective_gradient(episode, weights)
        batches = min(self._batches, horizon)

        def total(weights: Tensor, given: Tensor) -> Tensor:
            losses = [episode.loss(weights, given, horizon - 1 - k).sum() for k in range(batches)]
            return torch.stack(losses).mean() + _penalty(episode, weights)

        def hessian(vector: Tensor) -> Tensor:
            return jvp(lambda w: grad(total)(w, fixed), (weights,), (vector,))[1].detach()

        draw = torch.Generator().manual_seed(int(seeds[0]) % 2**63)
        signs = torch.randint(0, 2, weights.shape, generator=draw).to(weights) * 2 - 1
        mean = (signs * hessian(signs)).mean(1, keepdim=True).clamp_min(0.0)

        def damped(vector: Tensor) -> Tensor:
            return hessian(vector) + self._damping * mean * vector

        solve = conjugate_gradients if self._solver == "cg" else neumann
        solution, used = solve(damped, outer, self._iterations)
        residual = (damped(solution) - outer).norm(dim=1) / outer.norm(dim=1).clamp_min(1e-30)
        tangents = jvp(grad(total, argnums=(0, 1)), (weights, fixed), (solution, torch.zeros_like(fixed)))
        crossed = tangents[1][1]
        (gradient,) = torch.autograd.grad(coefficients, points, -crossed.detach())
        cost = (horizon + 2 * batches * (used + 3)) * len(seeds)
        return averaged(values, gradient, cost, (("residual", float(residual.max())),))


def _penalty(episode: Episode, weights: Tensor) -> Tensor:
    """The penalty whose gradient the optimiser adds to that of the loss."""
    return 0.5 * episode.update.weight_decay * weights.square().sum()


def conjugate_gradients(matrix: Operator, wanted: Tensor, iterations: int) -> tuple[Tensor, int]:
    """Solutions of A q = b, `[run, parameter]`, and how many products with A they took.

    A run goes no further along a direction in which its curvature is not positive.
    """
    solution = torch.zeros_like(wanted)
    residual, direction = wanted.clone(), wanted.clone()
    size = residual.square().sum(1, keepdim=True)
    active = size > 0.0
    first = size.clone()
    used = 0
    while used < iterations and bool(active.any()):
        product = matrix(direction)
        used += 1
        curvature = (direction * product).sum(1, keepdim=True)
        active = active & (curvature > 0.0)
        rate = torch.where(active, size / torch.where(active, curvature, 1.0), 0.0)
        solution = solution + rate * direction
        residual = residual - rate * product
        after = residual.square().sum(1, keepdim=True)
        direction = residual + torch.where(active, after / size.clamp_min(1e-300), 0.0) * direction
        size = torch.where(active, after, size)
        active = active & (size > 1e-20 * first)
    return solution, used


def neumann(matrix: Operator, wanted: Tensor, iterations: int) -> tuple[Tensor, int]:
    """As `conjugate_gradients`, by q = α Σ_k (I - αA)ᵏ b with α = 1 / λ_max."""
    vector = wanted / wanted.norm(dim=1, keepdim=True).clamp_min(1e-30)
    largest = torch.zeros_like(vector[:, :1])
    for _ in range(_POWER_STEPS):
        product = matrix(vector)
        largest = product.norm(dim=1, keepdim=True)
        vector = product / largest.clamp_min(1e-30)
    rate = 1.0 / largest.clamp_min(1e-30)
    term, total = wanted.clone(), wanted.clone()
    for _ in range(iterations):
        term = term - rate * matrix(term)
        total = total + term
    return rate * total, iterations + _POWER_STEPS
