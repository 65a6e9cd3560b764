"""What one call of training is asked to do: the runs, their losses, and when to evaluate."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

LossFunction = Callable[..., Tensor]
"""A loss of what a slot is given, in the order of its signature, such as `(logits[batch, class], target[batch])`.

It returns a scalar that is differentiable in the predictions.
"""

Promote = Callable[[int, list[float | None]], Sequence[bool]]
"""`(step, metric of every run or None where it has ended) -> which runs go on`."""

SLOT = "loss"
"""The slot of a task that has one alone."""


@dataclass(frozen=True)
class Run:
    """One training to be done.

    Attributes:
        loss: of the task's slot; or of each of its slots, by name.
        learning_rate: of the task's optimiser, at the start of its schedule; positive.
        seed: of initial weights and data order, and of the splits where the task resamples; runs of one seed are
            paired, whatever their losses.
    """

    loss: LossFunction | Mapping[str, LossFunction]
    learning_rate: float
    seed: int

    @property
    def losses(self) -> Mapping[str, LossFunction]:
        """By slot."""
        return self.loss if isinstance(self.loss, Mapping) else {SLOT: self.loss}


@dataclass(frozen=True)
class Plan:
    """When a training ends and when it is evaluated.

    Attributes:
        steps: optimiser steps of a full training.
        rungs: steps after which runs may be stopped.
        eval_every: steps between evaluations, or None.
        time_limit: seconds, or None.
    """

    steps: int
    rungs: frozenset[int]
    eval_every: int | None
    time_limit: float | None

    def evaluates_after(self, step: int) -> bool:
        """Whether all runs are evaluated once `step` steps are done."""
        regular = self.eval_every is not None and step % self.eval_every == 0
        return regular or step in self.rungs or step == self.steps
