"""What an island's loop is given: its parts as protocols, its limits and settings."""

from __future__ import annotations

from collections.abc import Callable, Container
from dataclasses import dataclass, field
from typing import Any, Protocol

from lossearch.candidates.scoring import CandidateResult
from lossearch.candidates.screen import FilterTotals, Verdict
from lossearch.candidates.stopping import StoppingConfig, Stops
from lossearch.engine.setup.state import IslandState


class Screening(Protocol):
    """As `lossearch.candidates.screen.Screen`, or `JointScreen` of candidates for several slots."""

    def check(self, graph: Any, seen: Container[str]) -> Verdict: ...
    def fingerprint(self, graph: Any) -> str | None: ...
    def counts(self) -> dict[str, FilterTotals]: ...
    def reset_counts(self) -> None: ...


class Evaluator(Protocol):
    """As `lossearch.candidates.scoring.CandidateEvaluator`."""

    def evaluate(self, graph: Any, seed: int, stops: Stops = ...) -> CandidateResult: ...


class Elsewhere(Protocol):
    """Trainings outside of an island's process, as `lossearch.engine.island.trainings.Trainings`."""

    def begin(self, number: int, graph: Any, seed: int, stops: Stops) -> None: ...
    def result(self, number: int) -> CandidateResult: ...


Guard = Callable[[bool], None]
"""Called with True before and False after each training, to end a process that hangs."""


@dataclass(frozen=True)
class Limits:
    """When an island ends, and how long a generation is. None: no limit.

    Attributes:
        generations: in all.
        candidates: proposals in all.
        seconds: of wall-clock in all.
        generation_size: candidates trained per generation.
        budget: of all calls of a training function together.
    """

    generations: int | None
    candidates: int | None
    seconds: float | None
    generation_size: int
    budget: int | None = None

    def spent(self, state: IslandState) -> bool:
        """Whether an island may propose no further candidate."""
        over = self.candidates is not None and state.candidates >= self.candidates
        over = over or (self.budget is not None and state.spent >= self.budget)
        return over or (self.seconds is not None and state.wall_seconds >= self.seconds)

    def reached(self, state: IslandState) -> bool:
        """Whether an island has ended."""
        return (self.generations is not None and state.generation >= self.generations) or self.spent(state)


@dataclass(frozen=True)
class Setting:
    """What an island's loop needs to know besides its parts.

    Attributes:
        task: the task's name in the archive.
        budget: of a full training, in steps.
        seed: passed to every evaluation.
        higher_is_better: the metric's direction.
        robustness: see `EvaluationConfig`.
        audit: share of rejected candidates that are trained all the same.
        audit_seed: picks them.
        keep_full: whether rejected candidates are archived in full.
        migration_every: generations between exchanges; 0 for none.
        migration_count: elites sent.
        shares_seeds: whether another island may have trained a seed of the space.
        stopping: when trainings that lag behind are stopped.
        guard: of trainings inside the process.
    """

    task: str
    budget: int
    seed: int
    limits: Limits
    higher_is_better: bool = True
    robustness: float = 0.0
    audit: float = 0.0
    audit_seed: int = 0
    keep_full: bool = False
    migration_every: int = 0
    migration_count: int = 1
    shares_seeds: bool = False
    stopping: StoppingConfig = field(default_factory=lambda: StoppingConfig.model_validate({}))
    guard: Guard = lambda _: None
