"""Forward mode: tangents of the weights along every coefficient (Franceschi et al. 2017)."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from torch import Tensor
from torch.func import grad, jvp, vmap

from lossearch.meta.points import begun_at, objective_gradient
from lossearch.meta.problem import Episode, Estimate, Problem, Training, averaged, moved


class Forward:
    """The exact gradient with memory that is flat in the horizon: that of 1 + P copies of the training.

    Args:
        chunk: coefficients whose tangents are computed at once; None takes all.
    """

    def __init__(self, chunk: int | None = None) -> None:
        self._chunk = chunk

    def estimate(self, problem: Problem, point: Sequence[float], horizon: int, seeds: Sequence[int]) -> Estimate:
        """See `Estimator`."""
        episode, training, points, coefficients = begun_at(problem, point, seeds)
        points, coefficients = points.detach(), coefficients.detach()
        directions = torch.eye(points.shape[1], dtype=points.dtype, device=points.device)

        def inner(direction: Tensor) -> Tensor:
            return jvp(episode.inner_coefficients, (points,), (direction.expand_as(points),))[1]

        along = vmap(inner)(directions).detach()
        tangents = _zero_tangents(training, len(directions))
        for step in range(horizon):
            training, tangents = self._step(episode, training, tangents, coefficients, along, step)
        values, outer = objective_gradient(episode, training[0])
        gradient = (tangents[0] * outer).sum(2).T
        return averaged(values, gradient, horizon * len(seeds) * (1 + len(directions)))

    def _step(
        self,
        episode: Episode,
        training: Training,
        tangents: list[Tensor],
        coefficients: Tensor,
        along: Tensor,
        step: int,
    ) -> tuple[Training, list[Tensor]]:
        """The state and its tangents, each `[coefficient, run, parameter]`, after one step."""
        forward = _flat_step(episode, step)
        state = (training[0], *training[1], coefficients)

        def tangent(*directions: Tensor) -> tuple[Tensor, ...]:
            return jvp(forward, state, directions)[1]

        found = vmap(tangent, chunk_size=self._chunk)(*tangents, along)
        weights, *rest = forward(*state)
        after = weights.detach(), tuple(one.detach() for one in rest)
        return after, [one.detach() for one in found]


def _flat_step(episode: Episode, step: int) -> Callable[..., tuple[Tensor, ...]]:
    """One step of a training as a function of weights, state and coefficients."""

    def forward(weights: Tensor, *others: Tensor) -> tuple[Tensor, ...]:
        *state, coefficients = others
        gradient = grad(lambda w: episode.loss(w, coefficients, step).sum())(weights)
        weights, after = moved(episode, (weights, tuple(state)), gradient, step)
        return weights, *after

    return forward


def _zero_tangents(training: Training, count: int) -> list[Tensor]:
    return [torch.zeros(count, *one.shape, dtype=one.dtype, device=one.device) for one in (training[0], *training[1])]
