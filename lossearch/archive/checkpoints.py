"""Checkpoints of meta-learning: candidates with numbers of the outer loop that led to them."""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from lossearch.archive.records import OUTER_STEP, Candidate, damaged

LEARNED = "hypergradient"
"""Operator of candidates that are checkpoints."""

COEFFICIENT = "coefficient."
"""How the names of numbers begin that are coefficients of the learned loss."""


@dataclass(frozen=True)
class Checkpoint:
    """A candidate that some more outer steps have led to.

    Attributes:
        candidate: the archive's row.
        step: outer steps of its island by then.
        value: mean objective over the outer steps since the checkpoint before, lower is better; None where no
            training counted, and before the first step.
        gradient, error: norm of the hypergradient and its standard error, as means over the same steps; None where they
            are not known.
        cost: training steps that these outer steps took.
        total: training steps of all outer steps of the island by then.
        diverged: trainings of these outer steps that did not count.
        coefficients: of the learned loss, by name, before any tuning of constants by its evaluation.
    """

    candidate: Candidate
    step: int
    value: float | None
    gradient: float | None
    error: float | None
    cost: int
    total: int
    diverged: int
    coefficients: Mapping[str, float]


def checkpoints_of(candidates: Iterable[Candidate]) -> dict[int, list[Checkpoint]]:
    """The checkpoints among candidates, by island and in the order of their steps; none of any other search.

    Args:
        candidates: in the order in which they were archived; those of the operator `LEARNED` suffice. Those of
            generations that were repeated do not count.
    """
    found: dict[int, list[Checkpoint]] = defaultdict(list)
    for row in candidates:
        if row.superseded or OUTER_STEP not in row.numbers:
            continue
        own, numbers = found[row.origin.island], _checked(row)
        cost = round(numbers.get("outer_cost", 0.0))
        own.append(
            Checkpoint(
                candidate=row,
                step=round(numbers[OUTER_STEP]),
                value=numbers.get("outer_value"),
                gradient=numbers.get("outer_gradient"),
                error=numbers.get("outer_gradient_error"),
                cost=cost,
                total=cost + (own[-1].total if own else 0),
                diverged=round(numbers.get("outer_diverged", 0.0)),
                coefficients={
                    name.removeprefix(COEFFICIENT): value
                    for name, value in numbers.items()
                    if name.startswith(COEFFICIENT)
                },
            )
        )
    return dict(sorted(found.items()))


def _checked(row: Candidate) -> Mapping[str, float]:
    """The numbers of a candidate; raises `UserError` where the archive holds others than a search writes."""
    for name, value in row.numbers.items():
        if type(value) not in (int, float) or not math.isfinite(value):
            raise damaged(f"{name} = {value!r:.40} in candidate {row.id} of the archive")
    return row.numbers
