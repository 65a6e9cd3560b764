"""How far a candidate's learning rate may be moved before its training fails, and the trainings that tell."""

from __future__ import annotations

import sqlite3
import time
from collections import defaultdict
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any

from lossearch.archive.records import (
    DIGEST,
    MAYBE_REAL,
    MAYBE_TEXT,
    REAL,
    TEXT,
    WHOLE,
    Kinds,
    finite_or_none,
    pack_digest,
    unpack_digest,
)

KEPT = 0.5
"""Share of what a training gains over an untrained network that one at another learning rate must keep."""

SELECT_MOVED = """
SELECT x.key, m.task, m.seed, m.budget, m.factor, m.metric, m.kept, m.status, m.message, m.seconds, m.timestamp,
       m.device
FROM race_margin m JOIN structure x ON x.id = m.structure_id ORDER BY m.id
"""
MOVED_KINDS: Kinds = (
    DIGEST, TEXT, WHOLE, WHOLE, REAL, MAYBE_REAL, MAYBE_REAL, TEXT, TEXT, REAL, REAL, MAYBE_TEXT
)  # fmt: skip


@dataclass(frozen=True, slots=True, kw_only=True)
class MovedTraining:
    """A training of a candidate that raced, with its learning rate times a factor; fields as in `RaceTraining`.

    factor: on the learning rate. kept: share of what the race's training with the same seed gained over an untrained
    network, on the task where it is smallest; None where the training failed.
    """

    key: str
    task: str
    seed: int
    budget: int
    factor: float
    metric: float | None
    kept: float | None
    status: str = "ok"
    message: str = ""
    seconds: float = 0.0
    timestamp: float | None = None
    device: str | None = None

    @property
    def failed(self) -> bool:
        """Whether it kept less than `KEPT` of the gain."""
        return self.kept is None or self.kept < KEPT


@dataclass(frozen=True, slots=True)
class Margin:
    """How far a learning rate may be moved.

    Attributes:
        smallest: the smallest factor at which trainings keep their gain, with all between it and 1; 1 where none does.
        largest: the largest such factor.
        tried: all factors that were tried, ascending.
    """

    smallest: float
    largest: float
    tried: tuple[float, ...]

    @property
    def fragile(self) -> bool:
        """Whether a training fails at the next factor below or above 1 that was tried."""
        below, above = any(factor < 1.0 for factor in self.tried), any(factor > 1.0 for factor in self.tried)
        return (below and self.smallest == 1.0) or (above and self.largest == 1.0)

    def __str__(self) -> str:
        ends = [f"×{factor:.3g}" for factor in (self.smallest, self.largest) if factor != 1.0]
        failing = [factor for factor in self._next() if factor is not None]
        told = f"works at {' to '.join(ends)}" if ends else "works at none of those tried"
        return f"{told}; fails at {' and '.join(f'×{factor:.3g}' for factor in failing)}" if failing else told

    def _next(self) -> tuple[float | None, float | None]:
        """The nearest factors at which it fails."""
        below = [factor for factor in self.tried if factor < min(self.smallest, 1.0)]
        above = [factor for factor in self.tried if factor > max(self.largest, 1.0)]
        return max(below, default=None), min(above, default=None)


def margin(trainings: Iterable[MovedTraining]) -> Margin | None:
    """What the trainings of one candidate say; None where there are none."""
    failed: dict[float, bool] = defaultdict(bool)
    for one in trainings:
        failed[one.factor] = failed[one.factor] or one.failed
    if not failed:
        return None
    smallest = largest = 1.0
    for factor in sorted((factor for factor in failed if factor < 1.0), reverse=True):
        if failed[factor]:
            break
        smallest = factor
    for factor in sorted(factor for factor in failed if factor > 1.0):
        if failed[factor]:
            break
        largest = factor
    return Margin(smallest, largest, tuple(sorted(failed)))


def moved_from_row(row: tuple[Any, ...]) -> MovedTraining:
    """A training from `SELECT_MOVED`."""
    key, task, seed, budget, factor, metric, kept, status, message, seconds, timestamp, device = row
    return MovedTraining(
        key=unpack_digest(key),
        task=task,
        seed=seed,
        budget=budget,
        factor=factor,
        metric=metric,
        kept=kept,
        status=status,
        message=message,
        seconds=seconds,
        timestamp=timestamp,
        device=device,
    )


def insert_moved(connection: sqlite3.Connection, trainings: Iterable[MovedTraining]) -> None:
    """Add trainings; the first of a cell (candidate, task, seed, budget, factor) stands."""
    connection.executemany(
        "INSERT INTO race_margin (structure_id, task, budget, seed, factor, metric, kept, status, message, seconds,"
        " timestamp, device) VALUES ((SELECT id FROM structure WHERE key = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (structure_id, task, budget, seed, factor) DO NOTHING",
        [
            (
                pack_digest(one.key),
                one.task,
                one.budget,
                one.seed,
                one.factor,
                finite_or_none(one.metric),
                finite_or_none(one.kept),
                one.status,
                one.message,
                one.seconds,
                time.time() if one.timestamp is None else one.timestamp,
                one.device,
            )
            for one in trainings
        ],
    )
