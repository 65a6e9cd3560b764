"""Racing: what is the best of a few candidates, trained on seed after seed until a paired test rules them out.

After the first block of seeds, and after each further one, every candidate is tested against the leader, which has the
best mean: a two-sided paired t-test over the seeds so far, corrected after Holm for the number of candidates that are
tested. One that is worse at `LEVEL` is ruled out, and trained no further. As with every race (Maron and Moore, 1994;
Birattari et al., 2002) the level holds for one block; over all of them the best is dropped a little more often.

The race also decides the Pareto front, on which a simple candidate may stand that is far worse than the leader. So one
that is ruled out is trained on while no candidate that is as simple has a better mean. It is tested like the others: if
a later test rules it out no longer, it is back in the race.

Where robustness counts (`evaluation.robustness`), a mean is moved by that share towards the worst seed: so leader,
front and order are found. The test is of plain means all the same, and rules out only who is worse in both. Of those
that lasted, which it cannot tell apart, one whose learning rate can hardly be moved stands behind the others.

A candidate of which one training fails takes no part, as if it had never entered.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import numpy as np
from pydantic import BaseModel, ConfigDict, Field

from lossearch.archive.robustness import robust_mean
from lossearch.comparison.statistics import holm, paired_difference
from lossearch.training.seeds import RACING

FIRST_BLOCK = 3
"""Seeds before the first test: fewer say nothing of the spread."""

BLOCK = 2
"""Seeds between tests."""

LEVEL = 0.05


class RaceConfig(BaseModel):
    """The final race: before a search ends, its best losses are trained at the full budget on fresh seeds.

    Attributes:
        candidates: that many of the best by the search's own scores race, and the Pareto front with them. 0 for no
            race: then the search's own scores rank.
        seeds: trainings of each that lasts; those that a paired test rules out are dropped earlier.
        steps: optimiser steps of each training; without it the task's full budget, whatever `evaluation.steps` says. Of
            a user's function its budget, without it `evaluation.steps`.
        learning_rates: factors on a candidate's learning rate, at each of which one more training of those that were
            trained on all seeds shows how far it may be moved: a training fails that keeps less than half of what it
            gained over an untrained network. `lossearch show` and reports tell it, and with `evaluation.robustness` one
            that fails at the nearest factor below or above 1 is ranked behind the others that lasted. Without any none
            is measured, nor of a user's function, of which no untrained network is known. It misleads where a task's
            schedule or optimiser makes up for the rate, and for losses whose own rate lay at the edge of
            `evaluation.learning_rates`.
        simplify: how the winner is read back, whose shorter form is kept beside it: "exact" for what has its value and
            gradient, "evidence" also without the terms and digits that paired trainings do not miss, for which each is
            trained as in the race, "none". Left out, "evidence" for a bundled task, and "exact" for a user's function,
            whose calls may take hours.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    candidates: int = Field(default=8, ge=0, le=1000)
    seeds: int = Field(default=10, ge=2, le=len(RACING))
    steps: int | None = Field(default=None, ge=1)
    learning_rates: tuple[Annotated[float, Field(gt=0.0)], ...] = (0.0625, 0.25, 4.0, 16.0)
    simplify: Literal["evidence", "exact", "none"] | None = None


@dataclass(frozen=True)
class Entrant:
    """A candidate that races: its key, and what it counts in complexity."""

    key: str
    complexity: int


@dataclass(frozen=True)
class RacePlace:
    """Where a race left a candidate.

    Attributes:
        key: of the candidate.
        seeds: trainings that judge it.
        failed: those of them without a metric.
        metric: their mean, moved towards the worst where robustness counts; None where one failed.
        gap: by how much its metric differs from the winner's, over the seeds of both; None where one failed.
        ruled_out: seeds after which the test against the leader ruled it out; None for one that lasted.
        p_value: of that test, corrected.
        fragile: whether its learning rate can hardly be moved, which puts it behind others that lasted.
    """

    key: str
    seeds: int
    failed: int
    metric: float | None
    gap: float | None
    ruled_out: int | None = None
    p_value: float | None = None
    fragile: bool = False


@dataclass(frozen=True)
class Course:
    """How a race stands.

    Attributes:
        wanted: trainings that it needs to go on, as (key, seeds); none where it has ended.
        judged: seeds after which it was tested last.
        places: where each candidate stands by then, in the order in which they were entered.
    """

    wanted: tuple[tuple[str, tuple[int, ...]], ...]
    judged: int
    places: tuple[RacePlace, ...]


Metrics = Mapping[str, Mapping[int, float | None]]
"""By key and seed: the metric of each training so far, None of one that failed."""


def race(
    entrants: Sequence[Entrant],
    metrics: Metrics,
    seeds: Sequence[int],
    higher_is_better: bool,
    robustness: float = 0.0,
    fragile: Collection[str] = (),
) -> Course:
    """How a race stands, followed from its start through the trainings that there are.

    What comes of it depends on the trainings alone, not on the order in which they ended: so an interrupted race goes
    on as if nothing had been, and one with more seeds or candidates asks for what is missing only.

    Args:
        entrants: who races.
        metrics: of the trainings that there are.
        seeds: of all that may be wanted, in order.
        higher_is_better: the metric's direction.
        robustness: share by which means are moved towards the worst seed, in [0, 1].
        fragile: keys of those whose learning rate can hardly be moved.
    """
    running = _Running(entrants, metrics, seeds, higher_is_better, robustness, fragile)
    for end in _ends(len(seeds)):
        known = {key: metrics.get(key, {}) for key in running.active}
        missing = ((key, tuple(seed for seed in seeds[:end] if seed not in known[key])) for key in running.active)
        if wanted := tuple((key, needed) for key, needed in missing if needed):
            return Course(wanted, running.judged, running.places())
        running.judge(end)
    return Course((), running.judged, running.places())


def _ends(seeds: int) -> Iterator[int]:
    """After how many seeds tests are made."""
    yield from range(FIRST_BLOCK, seeds, BLOCK)
    yield seeds


class _Running:
    """A race under way.

    Attributes:
        judged: seeds after which it was judged last.
        active: those that are still trained.
    """

    def __init__(
        self,
        entrants: Sequence[Entrant],
        metrics: Metrics,
        seeds: Sequence[int],
        higher_is_better: bool,
        robustness: float,
        fragile: Collection[str],
    ) -> None:
        self._seeds, self._sign = seeds, 1.0 if higher_is_better else -1.0
        self._robustness, self._fragile = robustness, fragile
        self._complexity = {entrant.key: entrant.complexity for entrant in entrants}
        own = {key: metrics.get(key, {}) for key in self._complexity}
        self._known = {key: {seed: known[seed] for seed in seeds if seed in known} for key, known in own.items()}
        self._failed = {key for key, known in self._known.items() if None in known.values()}
        self._trained: dict[str, int] = {}
        self._out: dict[str, tuple[int, float]] = {}
        self.judged = 0
        self.active = [key for key in self._complexity if key not in self._failed]

    def judge(self, end: int) -> None:
        """Rule out and drop those that the tests after `end` seeds find worse."""
        self.judged = end
        self._trained |= dict.fromkeys(self.active, end)
        worse, front = self._worse_than_leader(), self._front()
        for key in self.active:
            if key not in worse:
                self._out.pop(key, None)
            elif key not in self._out:
                self._out[key] = end, worse[key]
        self.active = [key for key in self.active if key not in worse or key in front]

    def places(self) -> tuple[RacePlace, ...]:
        """Where all candidates stand that have been judged, or failed."""
        if not self._trained:
            return tuple(self._failure(key) for key in self._complexity if key in self._failed)
        winner = self._merits(self._winner())
        return tuple(
            self._failure(key) if key in self._failed else self._place(key, winner)
            for key in self._complexity
            if key in self._failed or key in self._trained
        )

    def _failure(self, key: str) -> RacePlace:
        values = list(self._known[key].values())
        return RacePlace(key, len(values), values.count(None), None, None)

    def _place(self, key: str, winner: Sequence[float]) -> RacePlace:
        merits = self._merits(key)
        score, of_winner = self._score(merits), self._score(winner[: len(merits)])
        ruled_out, p_value = self._out.get(key, (None, None))
        gap, fragile = self._sign * (score - of_winner), key in self._fragile
        return RacePlace(key, len(merits), 0, self._sign * score, gap, ruled_out, p_value, fragile)

    def _winner(self) -> str:
        """The best that lasted, if there is one whose learning rate may be moved, of these."""
        order = self._best_first()
        steady = (key for key in order if key not in self._out and key not in self._fragile)
        return next(steady, order[0])

    def _score(self, merits: Sequence[float]) -> float:
        return robust_mean(merits, self._robustness)

    def _merits(self, key: str) -> list[float]:
        """Of its trainings so far, turned so that higher is better."""
        values = (self._known[key][seed] for seed in self._seeds[: self._trained[key]])
        return [self._sign * value for value in values if value is not None]

    def _best_first(self) -> list[str]:
        """Those that are still trained, by their mean so far; of equals the simplest first."""
        return sorted(self.active, key=lambda key: (-self._score(self._merits(key)), self._complexity[key]))

    def _front(self) -> set[str]:
        """Those of which no other one is as simple and as good."""
        order = self._best_first()
        return {
            key
            for place, key in enumerate(order)
            if all(self._complexity[better] > self._complexity[key] for better in order[:place])
        }

    def _worse_than_leader(self) -> dict[str, float]:
        """Those that are worse than the one with the best mean, and the corrected p-value of each."""
        if not self.active:
            return {}
        leader, *others = self._best_first()
        corrected = holm([_p_value(self._merits(key), self._merits(leader)) for key in others])
        mean = sum(self._merits(leader))
        return {
            key: float(p)
            for key, p in zip(others, corrected, strict=True)
            if p <= LEVEL and sum(self._merits(key)) < mean
        }


def _p_value(first: Sequence[float], second: Sequence[float]) -> float:
    """Of no difference between paired values, two-sided."""
    differences = np.subtract(first, second)
    rounding = 1e-6 * max(map(abs, (*first, *second)))  # of metrics that were computed in float32
    if np.ptp(differences) <= rounding:
        # No spread, which a t-test would take for certainty, though three counts of hits may well differ by the same:
        # how likely is it that all signs agree?
        return 1.0 if abs(differences[0]) <= rounding else 2.0 ** (1 - len(differences))
    return paired_difference(first, second, test_train_ratio=0.0).p_value
