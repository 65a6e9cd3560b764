"""The final race in the archive: its trainings, and where it left each candidate."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterable, Iterator

from lossearch.archive.lookups import ArchiveLookups
from lossearch.archive.margins import MOVED_KINDS, SELECT_MOVED, Margin, MovedTraining, margin, moved_from_row
from lossearch.archive.records import (
    DIGEST,
    MAYBE_REAL,
    MAYBE_TEXT,
    MAYBE_WHOLE,
    REAL,
    TEXT,
    WHOLE,
    Kinds,
    RaceTraining,
    Ranked,
    Standing,
    decode_numbers,
    encode_numbers,
    finite_or_none,
    pack_digest,
    unpack_digest,
)
from lossearch.archive.schema import WITH_MARGINS, WITH_RACES

_TRAININGS = """
SELECT x.key, r.task, r.seed, r.budget, r.metric, r.status, r.message, r.seconds, r.timestamp, {metrics},
       {device}
FROM race_training r JOIN structure x ON x.id = r.structure_id ORDER BY r.id
"""
_TRAINING_KINDS: Kinds = (DIGEST, TEXT, WHOLE, WHOLE, MAYBE_REAL, TEXT, TEXT, REAL, REAL, MAYBE_TEXT, MAYBE_TEXT)
_STANDINGS = """
SELECT r.structure_id, x.key, r.task, r.budget, r.before, r.seeds, r.failed, r.metric, r.gap, r.ruled_out, r.p_value,
       {fragile}
FROM race_standing r JOIN structure x ON x.id = r.structure_id
ORDER BY r.failed > 0, r.ruled_out IS NOT NULL, {fragile}, {sign} * r.gap DESC, x.complexity, x.id
"""
_STANDING_KINDS: Kinds = (
    WHOLE,
    DIGEST,
    TEXT,
    WHOLE,
    WHOLE,
    WHOLE,
    WHOLE,
    MAYBE_REAL,
    MAYBE_REAL,
    MAYBE_WHOLE,
    MAYBE_REAL,
    WHOLE,
)


class ArchiveRaces(ArchiveLookups):
    """What a final race left in an archive; nothing where there was none, as in archives of the first version."""

    def race_trainings(self) -> Iterator[RaceTraining]:
        """Trainings of races, in the order in which they were archived."""
        if self._has_races():
            sql = _TRAININGS.format(**self._later_columns("r"))
            rows = self._select(sql, (), _TRAINING_KINDS)
            for key, task, seed, budget, metric, status, message, seconds, timestamp, metrics, device in rows:
                yield RaceTraining(
                    key=unpack_digest(key),
                    task=task,
                    seed=seed,
                    budget=budget,
                    metric=metric,
                    status=status,
                    message=message,
                    seconds=seconds,
                    timestamp=timestamp,
                    metrics=decode_numbers(metrics, "a training of the race in the archive"),
                    device=device,
                )

    def standings(self) -> list[Standing]:
        """Where the last race that ended left its candidates, the best first.

        Those that lasted come first, by their mean (where robustness counts, those whose learning rate can hardly be
        moved behind the others), then those that were ruled out, by how far they lay behind the
        winner on the seeds that both were trained on; last those of which a training failed.
        """
        return [standing for _, standing in self._standings()]

    def _standings(self) -> list[tuple[int, Standing]]:
        """The standings with the row of each one's structure."""
        if not self._has_races():
            return []
        fragile = "r.fragile" if self._version >= WITH_MARGINS else "0 = 1"
        rows = self._select(_STANDINGS.format(sign=self._sign, fragile=fragile), (), _STANDING_KINDS)
        fields = ("task", "budget", "before", "seeds", "failed", "metric", "gap", "ruled_out", "p_value")
        return [
            (id, Standing(key=unpack_digest(key), fragile=bool(fragile), **dict(zip(fields, values, strict=True))))
            for id, key, *values, fragile in rows
        ]

    def moved_trainings(self, key: str | None = None) -> list[MovedTraining]:
        """Trainings at other learning rates, in the order in which they were archived; of one candidate, or of all."""
        if self._version < WITH_MARGINS:
            return []
        found = map(moved_from_row, self._select(SELECT_MOVED, (), MOVED_KINDS))
        return [one for one in found if key is None or one.key == key]

    def margin(self, ranked: Ranked) -> Margin | None:
        """How far the learning rate of a candidate may be moved at its budget; None where no race has tried it."""
        return margin(one for one in self.moved_trainings(ranked.candidate.key) if one.budget == ranked.budget)

    def _has_races(self) -> bool:
        return self._version >= WITH_RACES


def insert_trainings(connection: sqlite3.Connection, trainings: Iterable[RaceTraining]) -> None:
    """Add trainings; the first of a cell (candidate, task, seed, budget) stands."""
    connection.executemany(
        "INSERT INTO race_training (structure_id, task, budget, seed, metric, status, message, seconds, timestamp,"
        " metrics, device) VALUES ((SELECT id FROM structure WHERE key = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
        " ON CONFLICT (structure_id, task, budget, seed) DO NOTHING",
        [
            (
                pack_digest(one.key),
                one.task,
                one.budget,
                one.seed,
                finite_or_none(one.metric),
                one.status,
                one.message,
                one.seconds,
                time.time() if one.timestamp is None else one.timestamp,
                encode_numbers(one.metrics),
                one.device,
            )
            for one in trainings
        ],
    )


def replace_standings(connection: sqlite3.Connection, standings: Iterable[Standing]) -> None:
    """Write where a race left its candidates in the place of what an earlier one said."""
    connection.execute("DELETE FROM race_standing")
    connection.executemany(
        "INSERT INTO race_standing VALUES ((SELECT id FROM structure WHERE key = ?), ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        [
            (
                pack_digest(one.key),
                one.task,
                one.budget,
                one.before,
                one.seeds,
                one.failed,
                finite_or_none(one.metric),
                one.gap,
                one.ruled_out,
                one.p_value,
                int(one.fragile),
            )
            for one in standings
        ],
    )


def delete_all(connection: sqlite3.Connection) -> None:
    """Delete trainings and standings."""
    connection.execute("DELETE FROM race_margin")
    connection.execute("DELETE FROM race_standing")
    connection.execute("DELETE FROM race_training")
