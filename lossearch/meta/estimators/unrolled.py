"""Reverse mode through the steps of a training (Maclaurin et al. 2015), or its last ones (Shaban et al. 2019)."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lossearch.meta.points import begun_at
from lossearch.meta.problem import Episode, Estimate, Problem, Training, averaged, moved, trained


class Unrolled:
    """The gradient through all of the first `horizon` steps of a training, after which it ends; exact.

    Memory grows with the horizon.

    Args:
        truncated: go through the whole training instead, and differentiate its last `horizon` steps alone.
    """

    def __init__(self, truncated: bool = False) -> None:
        self._truncated = truncated

    def estimate(self, problem: Problem, point: Sequence[float], horizon: int, seeds: Sequence[int]) -> Estimate:
        """See `Estimator`."""
        stop = problem.steps if self._truncated else horizon
        episode, training, points, coefficients = begun_at(problem, point, seeds)
        training = trained(episode, training, coefficients.detach(), 0, stop - horizon)
        training = training[0].detach().requires_grad_(), training[1]
        weights, _ = unrolled(episode, training, coefficients, stop - horizon, stop)
        values = episode.objective(weights)
        (gradient,) = torch.autograd.grad(values.sum(), points)
        return averaged(values, gradient, stop * len(seeds))


def unrolled(episode: Episode, training: Training, coefficients: Tensor, start: int, stop: int) -> Training:
    """The state after the steps `start` … `stop - 1`, with the graph of all that was computed."""
    for step in range(start, stop):
        losses = episode.loss(training[0], coefficients, step)
        (gradient,) = torch.autograd.grad(losses.sum(), training[0], create_graph=True)
        training = moved(episode, training, gradient, step)
    return training
