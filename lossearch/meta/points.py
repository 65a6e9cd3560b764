"""How estimators begin and end: the point of each run as a tensor, and the gradient of the objective."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lossearch.meta.problem import Episode, Problem, Training, begun


def repeated(point: Sequence[float], like: Tensor) -> Tensor:
    """A point for every run of `like[run, ...]`: `[run, coefficient]`, each row a leaf of its own gradient."""
    row = torch.tensor(list(map(float, point)), dtype=like.dtype, device=like.device)
    return row.repeat(len(like), 1).requires_grad_()


def begun_at(
    problem: Problem, point: Sequence[float], seeds: Sequence[int]
) -> tuple[Episode, Training, Tensor, Tensor]:
    """Trainings at a point before their first step: the episode, its state, the points, and the inner coefficients.

    Points `[run, coefficient]` are leaves, of which the inner coefficients `[run, inner coefficient]` have the graph.
    """
    episode = problem.episode(seeds)
    training = begun(episode)
    points = repeated(point, training[0])
    return episode, training, points, episode.inner_coefficients(points)


def objective_gradient(episode: Episode, weights: Tensor) -> tuple[Tensor, Tensor]:
    """The objective `[run]` and its gradient with respect to the weights, `[run, parameter]`."""
    leaf = weights.detach().clone().requires_grad_()
    values = episode.objective(leaf)
    (gradient,) = torch.autograd.grad(values.sum(), leaf)
    return values.detach(), gradient
