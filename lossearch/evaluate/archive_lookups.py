"""Reading an archive: the connection, lookups by key, fingerprint and cell, totals, and the check of its
soundness.
"""

from __future__ import annotations

import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from lossearch.errors import UserError
from lossearch.evaluate.archive_records import (
    ACCEPTED,
    CANDIDATE_COLUMNS,
    EVALUATION_COLUMNS,
    OK,
    Candidate,
    Counts,
    Evaluation,
    FilterCount,
    Origin,
    Retention,
    candidate_from_row,
    evaluation_from_row,
    pack_digest,
    unpack_digest,
)
from lossearch.evaluate.archive_schema import SCORES, connect, storage_errors

SELECT_CANDIDATES = f"SELECT {CANDIDATE_COLUMNS} FROM candidate c JOIN structure x ON x.id = c.structure_id"
SELECT_EVALUATIONS = f"SELECT {EVALUATION_COLUMNS} FROM evaluation e JOIN structure x ON x.id = e.structure_id"
_PAGE = 2000


class ArchiveLookups:
    """An open archive and what can be looked up in it. Safe to use while another process writes."""

    def __init__(self, path: str | Path, read_only: bool = True) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self._connection: sqlite3.Connection = connect(self.path, read_only)
        self._lock = threading.RLock()
        meta: dict[str, str] = dict(self._select("SELECT name, value FROM meta"))
        missing = {"metric", "direction", "keep_rejected", "created"} - meta.keys()
        if missing:
            self._connection.close()
            raise UserError(
                required="an undamaged archive",
                found=f"no {', '.join(sorted(missing))} recorded in {self.path}",
                hint="restore it from a copy",
            )
        self.metric: str = meta["metric"]
        self.higher_is_better: bool = meta["direction"] == "maximize"
        self.keep_rejected: Retention = meta["keep_rejected"]  # type: ignore[assignment]
        self.created: str = meta["created"]
        self._sign = 1 if self.higher_is_better else -1

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _select(self, sql: str, parameters: tuple[Any, ...] = ()) -> list[tuple[Any, ...]]:
        with self._lock, storage_errors(self.path):
            return self._connection.execute(sql, parameters).fetchall()

    def _pages(self, select: str, id: str, where: str, parameters: tuple[Any, ...]) -> Iterator[tuple[Any, ...]]:
        """All rows in the order of `id`, a page at a time: no long read holds back the writer's log."""
        last = 0
        sql = f"{select} WHERE {where} AND {id} > ? ORDER BY {id} LIMIT {_PAGE}"
        while rows := self._select(sql, (*parameters, last)):
            yield from rows
            last = rows[-1][0]

    # Lookups

    def seen(self, fingerprint: str, before: Origin | None = None) -> bool:
        """Whether a candidate with this fingerprint is archived.

        With `before`, what the asking island itself submitted at that origin or later does not count: an
        island that repeats a generation after a restart gets the answers it got the first time.
        """
        return self._seen("fingerprint", fingerprint, before)

    def seen_key(self, key: str, before: Origin | None = None) -> bool:
        """Whether a candidate with this structural key is archived; `before` as in `seen`."""
        return self._seen("key", key, before)

    def _seen(self, column: str, digest: str, before: Origin | None) -> bool:
        if before is None:
            return bool(self._select(f"SELECT 1 FROM structure WHERE {column} = ? LIMIT 1", (pack_digest(digest),)))
        sql = f"""SELECT 1 FROM structure x JOIN candidate c ON c.structure_id = x.id WHERE x.{column} = ? AND
            (c.island <> ? OR (c.superseded = 0 AND (c.generation, c.position) < (?, ?))) LIMIT 1"""
        return bool(self._select(sql, (pack_digest(digest), before.island, before.generation, before.index)))

    def fingerprints(self) -> Iterator[str]:
        """All fingerprints, to fill an island's cache on restart."""
        for _, stored in self._pages(
            "SELECT x.id, x.fingerprint FROM structure x", "x.id", "x.fingerprint IS NOT NULL", ()
        ):
            yield unpack_digest(stored)

    def evaluation(self, key: str, task: str, seed: int, budget: int) -> Evaluation | None:
        """The archived evaluation of that cell, or None."""
        sql = f"{SELECT_EVALUATIONS} WHERE x.key = ? AND e.task = ? AND e.seed = ? AND e.budget = ?"
        rows = self._select(sql, (pack_digest(key), task, seed, budget))
        return evaluation_from_row(rows[0]) if rows else None

    def evaluations(self, key: str | None = None, task: str | None = None) -> Iterator[Evaluation]:
        """Evaluations in the order they were archived."""
        where, parameters = _conditions({"x.key": None if key is None else pack_digest(key), "e.task": task})
        for row in self._pages(SELECT_EVALUATIONS, "e.id", where, parameters):
            yield evaluation_from_row(row)

    def candidate(self, key: str) -> Candidate | None:
        """The candidate with that key: the first accepted one, else the first."""
        sql = f"{SELECT_CANDIDATES} WHERE x.key = ? ORDER BY c.verdict <> '{ACCEPTED}', c.id LIMIT 1"
        rows = self._select(sql, (pack_digest(key),))
        return candidate_from_row(rows[0]) if rows else None

    def candidates(
        self,
        *,
        verdict: str | None = None,
        island: int | None = None,
        operator: str | None = None,
        after_id: int = 0,
    ) -> Iterator[Candidate]:
        """Candidates in the order they were archived, from the one after `after_id` on."""
        where, parameters = _conditions({"c.verdict": verdict, "c.island": island, "c.operator": operator})
        for row in self._pages(SELECT_CANDIDATES, "c.id", f"c.id > ? AND {where}", (after_id, *parameters)):
            yield candidate_from_row(row)

    # Totals

    def funnel(self) -> list[FilterCount]:
        """Per filter, in the order of first report: counts and seconds summed over islands."""
        rows = self._select(
            "SELECT filter, sum(considered), sum(rejected), sum(seconds) FROM filter_count"
            " GROUP BY filter ORDER BY min(rowid)"
        )
        return [FilterCount(*row) for row in rows]

    def counts(self) -> Counts:
        tally: dict[str, dict[str, int]] = {"verdict": {}, "status": {}, "event": {}}
        for kind, name, n in self._select("SELECT kind, name, n FROM tally ORDER BY kind, n DESC"):
            tally[kind][name] = n
        verdicts, statuses = tally["verdict"], tally["status"]
        evaluations = sum(statuses.values())
        return Counts(
            candidates=sum(verdicts.values()),
            accepted=verdicts.get(ACCEPTED, 0),
            structures=self._select("SELECT ifnull(max(id), 0) FROM structure")[0][0],  # no row is ever deleted
            evaluations=evaluations,
            failed=evaluations - statuses.get(OK, 0),
            disagreements=tally["event"].get("disagreement", 0),
            verdicts=verdicts,
            statuses=statuses,
        )

    def check(self) -> None:
        """Read the whole file and prove it sound. Raises UserError with the first fault found."""
        faults = [row[0] for row in self._select("PRAGMA integrity_check(1)") if row[0] != "ok"]
        faults += [f"a row of {row[0]} refers to nothing" for row in self._select("PRAGMA foreign_key_check")[:1]]
        if not faults:
            recomputed = SCORES.format(sign=self._sign) + " GROUP BY e.structure_id, e.task, e.budget"
            sql = f"SELECT count(*) FROM ({recomputed} EXCEPT SELECT * FROM score)"
            if self._select(sql)[0][0]:
                faults.append("scores that do not follow from the evaluations")
        if faults:
            raise UserError(
                required="an undamaged archive",
                found=f"{faults[0]} ({self.path})",
                hint="it was truncated or overwritten: restore it from a copy",
            )


def _conditions(values: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    """A WHERE clause of the equalities whose value is given."""
    given = {column: value for column, value in values.items() if value is not None}
    return " AND ".join(f"{column} = ?" for column in given) or "1", tuple(given.values())
