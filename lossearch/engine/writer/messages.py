"""What islands and the archive's writer tell each other. Graphs travel in their JSON form."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Protocol

from lossearch.archive.store import Candidate, Evaluation, FilterCount

AUDITED_FILTERS = frozenset({"range", "probe", "float32", "confident", "rejection"})
"""Filters that judge whether a candidate can be any good; the others only recognise what is known or ill-typed."""


@dataclass(frozen=True, slots=True)
class Batch:
    """Candidates and evaluations to archive, in the order in which an island made them.

    Attributes:
        candidates: evaluated ones, and rejected ones.
        audited: rejected candidates that were trained all the same; archived in full.
        evaluations: of candidates in this or an earlier batch.
    """

    candidates: tuple[Candidate, ...] = ()
    audited: tuple[Candidate, ...] = ()
    evaluations: tuple[Evaluation, ...] = ()


@dataclass(frozen=True, slots=True)
class Trained:
    """A candidate that was trained: its evaluations, and the archived form that they belong to."""

    candidate: Candidate
    evaluations: tuple[Evaluation, ...]

    def under(self, row: Candidate) -> Trained:
        """The same training for another proposal of the same loss, archived in `row`'s place."""
        place = {"origin": row.origin, "operator": row.operator, "parents": row.parents, "verdict": row.verdict}
        proposal = None if row.key == self.candidate.key else row.key
        return replace(self, candidate=replace(self.candidate, **place, proposal=proposal, id=None, superseded=0))


@dataclass(frozen=True, slots=True)
class Claim:
    """The answer to an island that is about to train a candidate.

    Attributes:
        attempts: how often this island began to train it before, without an end.
        found: the training, where it is archived already.
    """

    attempts: int
    found: Trained | None


@dataclass(frozen=True, slots=True)
class Parcel:
    """What islands exchange: their best, as (graph, score), and fingerprints that the others need not try."""

    elites: tuple[tuple[str, float], ...] = ()
    fingerprints: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class GenerationReport:
    """How one generation of one island went.

    Attributes:
        generation: number of this generation, from 0.
        filters: what each filter did in it.
        candidates: proposals of the island so far, rejected ones included.
        trained: candidates trained so far.
        training_seconds: spent in training so far.
        screening_seconds: spent in screening so far.
        proposing_seconds: spent in the search method so far.
        wall_seconds: since the island began, pauses between sessions left out.
        cpu_seconds: of this process in that time; much less than the wall-clock where others use the machine too.
        done: whether the island has ended.
    """

    generation: int
    filters: tuple[FilterCount, ...]
    candidates: int
    trained: int
    training_seconds: float
    screening_seconds: float
    proposing_seconds: float
    wall_seconds: float
    cpu_seconds: float
    done: bool

    @property
    def overhead(self) -> float:
        """Share of the wall-clock that was neither training nor screening, in [0, 1]."""
        busy = self.training_seconds + self.screening_seconds
        return max(0.0, 1.0 - busy / self.wall_seconds) if self.wall_seconds > 0.0 else 0.0


class Scribe(Protocol):
    """The writer of the archive as an island sees it."""

    def begin(self, island: int, generation: int) -> frozenset[str]:
        """An island starts, or starts again, at a generation; returns keys of proposals it should `claim`."""
        ...

    def claim(self, island: int, proposal: str) -> Claim:
        """What is known of a proposal that an island is about to train."""
        ...

    def starting(self, island: int, proposal: str) -> None:
        """An island begins to train a proposal, now. Does not wait."""
        ...

    def submit(self, island: int, batch: Batch) -> None:
        """Archive a batch. May return before it is archived; a failure shows in a later call."""
        ...

    def report(self, island: int, report: GenerationReport) -> int:
        """A generation has ended; returns the mark of the archive, which holds all that was submitted, on disk."""
        ...

    def exchange(self, island: int, parcel: Parcel) -> Parcel:
        """Leave a parcel for the other islands, and take what they left."""
        ...

    def fail(self, island: int, error: Exception) -> None:
        """Something ended an island that another try would only repeat: it ends the search."""
        ...
