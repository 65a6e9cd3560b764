"""Reverse mode with one Jacobian-vector product a step, and √T checkpoints in place of a graph."""

from __future__ import annotations

import math
from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import grad, jvp

from lossearch.meta.points import begun_at, objective_gradient
from lossearch.meta.problem import Episode, Estimate, Problem, Training, averaged, moved, plain_step


class Reverse:
    """The exact gradient; memory grows with the root of the horizon, and a step back costs about three steps forward.

    With g = ∇_θ L and the adjoint λ of g, the product of the Hessian with λ and that of ∂²L/∂φ∂θ with λ are one
    directional derivative, d/dε ∇_(θ,φ) L(θ + ελ, φ).
    """

    def estimate(self, problem: Problem, point: Sequence[float], horizon: int, seeds: Sequence[int]) -> Estimate:
        """See `Estimator`."""
        episode, training, points, coefficients = begun_at(problem, point, seeds)
        fixed = coefficients.detach()
        stride = max(1, math.isqrt(horizon))
        kept: list[Training] = []
        for step in range(horizon):
            if step % stride == 0:
                kept.append(training)
            training = plain_step(episode, training, fixed, step)
        values, outer = objective_gradient(episode, training[0])
        adjoint = [outer, *(torch.zeros_like(one) for one in training[1])]
        collected = torch.zeros_like(fixed)
        for first in range((len(kept) - 1) * stride, -1, -stride):
            last = min(first + stride, horizon)
            states = [kept.pop()]
            for step in range(first, last - 1):
                states.append(plain_step(episode, states[-1], fixed, step))
            for step in range(last - 1, first - 1, -1):
                adjoint, own = _step_back(episode, states.pop(), fixed, adjoint, step)
                collected = collected + own
        (gradient,) = torch.autograd.grad(coefficients, points, collected)
        return averaged(values, gradient, 4 * horizon * len(seeds))


def _step_back(
    episode: Episode, training: Training, coefficients: Tensor, adjoint: Sequence[Tensor], step: int
) -> tuple[list[Tensor], Tensor]:
    """The adjoint before a step, and what the step adds to that of the coefficients."""

    def total(weights: Tensor, values: Tensor) -> Tensor:
        return episode.loss(weights, values, step).sum()

    weights = training[0].detach()
    gradient = grad(total)(weights, coefficients).detach().requires_grad_()
    leaves = [weights.requires_grad_(), *(one.detach().requires_grad_() for one in training[1])]
    after, state = moved(episode, (leaves[0], tuple(leaves[1:])), gradient, step)
    *before, of_gradient = torch.autograd.grad((after, *state), (*leaves, gradient), adjoint, allow_unused=True)
    before = [torch.zeros_like(leaf) if one is None else one for one, leaf in zip(before, leaves, strict=True)]
    both = grad(total, argnums=(0, 1))
    nothing = torch.zeros_like(coefficients)
    curved, crossed = jvp(both, (weights.detach(), coefficients), (of_gradient, nothing))[1]
    return [before[0] + curved.detach(), *before[1:]], crossed.detach()
