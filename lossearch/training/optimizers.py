"""torch's optimisers over a stack of runs: each row of a matrix of weights is updated as if it were alone.

In place for trainings; as functions of weights and state for trainings that are differentiated.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor


class StackedOptimizer(Protocol):
    """Updates every row of a matrix of weights by its own gradient and learning rate."""

    def step(self, weights: Tensor, gradient: Tensor, learning_rate: Tensor, scale: float) -> None:
        """One update, in place.

        Args:
            weights: `[run, parameter]`.
            gradient: `[run, parameter]`.
            learning_rate: `[run, 1]`.
            scale: factor of the schedule on every learning rate.
        """
        ...

    def keep(self, rows: Tensor) -> None:
        """Drop the state of all runs but `rows[kept]` (indices)."""
        ...


class StackedSGD:
    """torch.optim.SGD with momentum (no dampening, no Nesterov) and L2 penalty, row by row.

    Args:
        weights: `[run, parameter]`, what will be trained.
        weight_decay: coefficient of the L2 penalty.
        momentum: decay of the velocity.
    """

    def __init__(self, weights: Tensor, weight_decay: float = 0.0, momentum: float = 0.9) -> None:
        self.weight_decay = weight_decay
        self.momentum = momentum
        self.velocity = torch.zeros_like(weights)

    def step(self, weights: Tensor, gradient: Tensor, learning_rate: Tensor, scale: float) -> None:
        if self.weight_decay:
            gradient = gradient.add(weights, alpha=self.weight_decay)
        self.velocity.mul_(self.momentum).add_(gradient)
        weights.addcmul_(self.velocity, learning_rate, value=-scale)

    def keep(self, rows: Tensor) -> None:
        self.velocity = self.velocity[rows]


class StackedAdam:
    """torch.optim.Adam with L2 penalty, row by row. Kingma and Ba 2015.

    Args:
        weights: `[run, parameter]`, what will be trained.
        weight_decay: coefficient of the L2 penalty.
        betas: decay of the first and second moment.
        epsilon: added to the root of the second moment.
    """

    def __init__(
        self,
        weights: Tensor,
        weight_decay: float = 0.0,
        betas: tuple[float, float] = (0.9, 0.999),
        epsilon: float = 1e-8,
    ) -> None:
        self.weight_decay = weight_decay
        self.betas = betas
        self.epsilon = epsilon
        self.first = torch.zeros_like(weights)
        self.second = torch.zeros_like(weights)
        self.steps = 0

    def step(self, weights: Tensor, gradient: Tensor, learning_rate: Tensor, scale: float) -> None:
        if self.weight_decay:
            gradient = gradient.add(weights, alpha=self.weight_decay)
        self.steps += 1
        decay1, decay2 = self.betas
        self.first.lerp_(gradient, 1 - decay1)
        self.second.mul_(decay2).addcmul_(gradient, gradient, value=1 - decay2)
        correction1, correction2 = 1 - decay1**self.steps, 1 - decay2**self.steps
        root = (self.second.sqrt() / correction2**0.5).add_(self.epsilon)
        weights.addcmul_(self.first / root, learning_rate, value=-scale / correction1)

    def keep(self, rows: Tensor) -> None:
        self.first, self.second = self.first[rows], self.second[rows]


def make_optimizer(
    kind: Literal["sgd", "adam"], weights: Tensor, weight_decay: float, momentum: float
) -> StackedOptimizer:
    """The optimiser a task's configuration names, for `weights[run, parameter]`."""
    match kind:
        case "sgd":
            return StackedSGD(weights, weight_decay, momentum)
        case "adam":
            return StackedAdam(weights, weight_decay, (momentum, 0.999))


State = tuple[Tensor, ...]
"""What an optimiser remembers, each tensor `[run, parameter]`."""


@dataclass(frozen=True)
class Update:
    """An update as a pure function, differentiable in all that it takes; equal to that of `make_optimizer`.

    Attributes:
        tensors: how many an optimiser remembers; zero before the first step.
        of: `(weights, state, gradient, learning_rate[run, 1], scale, step) -> weights, state`, with the scale of the
            schedule and the number of steps before this one.
        weight_decay: coefficient of the L2 penalty, whose gradient it adds.
    """

    tensors: int
    weight_decay: float
    of: Callable[[Tensor, State, Tensor, Tensor, float, int], tuple[Tensor, State]]


def make_update(kind: Literal["sgd", "adam"], weight_decay: float, momentum: float) -> Update:
    """The update of the optimiser that a task's configuration names."""

    def sgd(
        weights: Tensor, state: State, gradient: Tensor, learning_rate: Tensor, scale: float, step: int
    ) -> tuple[Tensor, State]:
        if weight_decay:
            gradient = gradient + weight_decay * weights
        (velocity,) = state
        velocity = momentum * velocity + gradient
        return weights - scale * learning_rate * velocity, (velocity,)

    def adam(
        weights: Tensor, state: State, gradient: Tensor, learning_rate: Tensor, scale: float, step: int
    ) -> tuple[Tensor, State]:
        if weight_decay:
            gradient = gradient + weight_decay * weights
        first, second = state
        first = momentum * first + (1 - momentum) * gradient
        second = decay2 * second + (1 - decay2) * gradient.square()
        correction1, correction2 = 1 - momentum ** (step + 1), 1 - decay2 ** (step + 1)
        # The root has no finite slope at zero, where the first moment is zero, too: such a weight stays where it is.
        moved = second > 0.0
        root = torch.where(moved, second, 1.0).sqrt() * moved / correction2**0.5 + epsilon
        return weights - scale / correction1 * learning_rate * first / root, (first, second)

    decay2, epsilon = 0.999, 1e-8
    return Update(1, weight_decay, sgd) if kind == "sgd" else Update(2, weight_decay, adam)
