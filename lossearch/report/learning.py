"""The section of a report on meta-learning: what the outer loop did, and what came of it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lossearch.archive.checkpoints import LEARNED, Checkpoint, checkpoints_of
from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.store import Archive, Ranked
from lossearch.errors import UserError
from lossearch.ir.core.primitive import PRIMITIVES
from lossearch.ir.forms.joint import any_from_json
from lossearch.joint_loss import loss_of
from lossearch.loss import Loss
from lossearch.report.classes import classes_of
from lossearch.report.curves import LossCurves, loss_curves

SHAPES = 6
"""Checkpoints whose shape is drawn."""

TRACES = 12
"""Coefficients that are drawn."""


@dataclass(frozen=True)
class IslandLearning:
    """The outer loop of one island.

    Attributes:
        number: of the island.
        checkpoints: in the order of their steps.
        scores: of the checkpoints, on the tasks and seeds of the search; None where there is none.
        best: place of the checkpoint with the best score; None where none has one.
    """

    number: int
    checkpoints: Sequence[Checkpoint]
    scores: Sequence[float | None]
    best: int | None

    @property
    def last(self) -> Checkpoint:
        """The checkpoint after all steps."""
        return self.checkpoints[-1]

    @property
    def diverged(self) -> int:
        """Trainings of all outer steps that did not count."""
        return sum(one.diverged for one in self.checkpoints)


@dataclass(frozen=True)
class Learning:
    """Meta-learning as a run's archive tells it.

    Attributes:
        islands: in order.
        leader: the island with the best score, else the first one.
    """

    islands: Sequence[IslandLearning]
    leader: IslandLearning

    @property
    def traced(self) -> list[str]:
        """Names of the leader's coefficients that are drawn, those first that moved the most for their size."""
        names = dict.fromkeys(name for one in self.leader.checkpoints for name in one.coefficients)
        return sorted(names, key=lambda name: -_movement(self.leader.checkpoints, name))[:TRACES]

    @property
    def coefficients(self) -> int:
        """How many there are."""
        return len({name for one in self.leader.checkpoints for name in one.coefficients})


def learning_of(archive: Archive, ranked: Sequence[Ranked]) -> Learning | None:
    """Meta-learning in a run; None where there was none.

    Args:
        archive: of the run.
        ranked: by the search's own scores.
    """
    found = checkpoints_of(archive.candidates(operator=LEARNED))
    if not found:
        return None
    scores = {row.candidate.key: row.metric for row in ranked}
    sign = 1.0 if archive.higher_is_better else -1.0
    islands = [_island(number, own, scores, sign) for number, own in found.items()]
    with_score = [one for one in islands if one.best is not None]
    return Learning(islands, max(with_score, key=lambda one: _merit(one, sign)) if with_score else islands[0])


def _island(number: int, own: Sequence[Checkpoint], scores: Mapping[str, float | None], sign: float) -> IslandLearning:
    found = [scores.get(one.candidate.key) for one in own]
    places = [place for place, score in enumerate(found) if score is not None]
    best = max(places, key=lambda place: sign * (found[place] or 0.0)) if places else None
    return IslandLearning(number, own, found, best)


def _merit(island: IslandLearning, sign: float) -> float:
    assert island.best is not None
    return sign * (island.scores[island.best] or 0.0)


def _movement(checkpoints: Sequence[Checkpoint], name: str) -> float:
    values = [one.coefficients[name] for one in checkpoints if name in one.coefficients]
    return (max(values) - min(values)) / max(map(abs, values), default=1.0) if any(values) else 0.0


def shapes(learning: Learning, run: RunDirectory) -> tuple[list[LossCurves], list[str]]:
    """Scaled curves of the leader's checkpoints, evenly over its steps, the last first, and why some are missing."""
    curves: list[LossCurves] = []
    notes: list[str] = []
    for one in _spread([one for one in learning.leader.checkpoints if one.candidate.graph is not None]):
        try:
            loss = _loss(one)
            if loss is not None:
                curve = loss_curves(loss, classes_of(run, loss.signature))[0].scaled()
                curves.append(replace(curve, loss=f"after {one.step} steps"))
        except UserError as error:
            notes.append(f"The loss after {one.step} outer steps has no curve. {error}.")
    return curves, notes


def _spread(checkpoints: Sequence[Checkpoint]) -> list[Checkpoint]:
    last = len(checkpoints) - 1
    if last < SHAPES:
        return list(reversed(checkpoints))
    return [checkpoints[place * last // (SHAPES - 1)] for place in reversed(range(SHAPES))]


def _loss(one: Checkpoint) -> Loss | None:
    """The loss of a checkpoint; None where it is one for several slots."""
    PRIMITIVES.extend()
    loss = loss_of(any_from_json(one.candidate.graph or ""), f"after_{one.step}_steps", "")
    return loss if isinstance(loss, Loss) else None
