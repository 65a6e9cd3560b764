"""A loss beside its shorter form, and on what evidence that is shorter than what is exactly equal."""

from __future__ import annotations

from dataclasses import dataclass

from lossearch.joint_loss import AnyLoss


@dataclass(frozen=True)
class Attempt:
    """A shorter form that was trained beside the original.

    Attributes:
        change: what was left out or rounded.
        share: of the gradient at untrained predictions that the change takes away.
        metric: mean on validation; None where a training failed.
        difference: mean paired difference to the original, positive where the shorter form is better.
        at_worst: lower end of its interval.
        kept: whether that lies above minus the margin.
    """

    change: str
    share: float
    metric: float | None = None
    difference: float | None = None
    at_worst: float | None = None
    kept: bool = False


@dataclass(frozen=True)
class Evidence:
    """What was trained to see what does not matter.

    Attributes:
        task: on which losses were judged, on validation data.
        metric: by which.
        seeds: pairs of trainings for each attempt.
        learning_rate: of all trainings, relative to the size of a loss's gradient.
        original: mean metric of the original.
        margin: by how much a shorter form may be worse at most: the noise floor of the original.
        attempts: in their order.
    """

    task: str
    metric: str
    seeds: int
    learning_rate: float
    original: float
    margin: float
    attempts: tuple[Attempt, ...]


@dataclass(frozen=True)
class Simplified:
    """A loss beside its shorter form.

    Attributes:
        original: the loss as it was given.
        exact: its shortest form with the same value and gradient; the original itself where none is shorter.
        loss: what is left of that by evidence, without any the exact form.
        labels: whether original and exact form are equal on labels only, and may differ for soft targets.
        evidence: what was trained, or None.
    """

    original: AnyLoss
    exact: AnyLoss
    loss: AnyLoss
    labels: bool = False
    evidence: Evidence | None = None

    @property
    def is_shorter(self) -> bool:
        """Whether anything was found."""
        return self.loss.graph != self.original.graph

    @property
    def holds(self) -> str:
        """Where original and exact form are equal, in words."""
        if self.exact.graph == self.original.graph:
            return "nothing shorter was found"
        return "equal on labels; soft targets may differ" if self.labels else "equal for every input"
