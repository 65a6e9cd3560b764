"""Reading an archive: the connection, lookups by key, fingerprint and cell, totals, and the check of its
soundness.
"""

from __future__ import annotations

import math
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Self

from lossearch.archive.records import (
    ACCEPTED,
    CANDIDATE_COLUMNS,
    CANDIDATE_KINDS,
    DIGEST,
    EVALUATION_COLUMNS,
    EVALUATION_KINDS,
    OK,
    REAL,
    TEXT,
    WHOLE,
    Candidate,
    Counts,
    Evaluation,
    FilterCount,
    Kinds,
    Origin,
    Retention,
    candidate_from_row,
    damaged,
    decode_json,
    evaluation_from_row,
    pack_digest,
    unpack_digest,
    verify_kinds,
)
from lossearch.archive.robustness import robust_mean_sql
from lossearch.archive.schema import PROPOSAL_OF_OLD, SCORES, WITH_METRICS, WITH_PROPOSALS, connect, storage_errors

_SELECT_CANDIDATES = f"SELECT {CANDIDATE_COLUMNS} FROM candidate c JOIN structure x ON x.id = c.structure_id"
_SELECT_EVALUATIONS = f"SELECT {EVALUATION_COLUMNS} FROM evaluation e JOIN structure x ON x.id = e.structure_id"
_PAGE = 2000


class ArchiveLookups:
    """An open archive and what can be looked up in it. Safe to use while another process writes.

    `directions` says of metrics besides the ranking one which way is better, "maximize" or "minimize", where the
    search's configuration said so. `robustness` is the share by which scores are moved from the mean over the seeds
    towards the worst.
    """

    def __init__(self, path: str | Path, read_only: bool = True) -> None:
        self.path = Path(path)
        self.read_only = read_only
        self._connection: sqlite3.Connection = connect(self.path, read_only)
        self._lock = threading.RLock()
        try:
            meta = self._meta()
            self.directions = _directions(meta.get("directions"), self.path)
            self.robustness = _robustness(meta.get("robustness"), self.path)
            self._version = self._number("PRAGMA user_version")
        except BaseException:
            self._connection.close()
            raise
        self.metric: str = meta["metric"]
        self.higher_is_better: bool = meta["direction"] == "maximize"
        self.keep_rejected: Retention = meta["keep_rejected"]  # type: ignore[assignment]
        self.created: str = meta["created"]
        proposal = "c.proposal" if self._version >= WITH_PROPOSALS else PROPOSAL_OF_OLD.format(reason="c.reason")
        self._select_candidates = _SELECT_CANDIDATES.format(proposal=proposal)
        self._select_evaluations = _SELECT_EVALUATIONS.format(**self._later_columns("e"))
        self._sign = 1 if self.higher_is_better else -1

    def _meta(self) -> dict[str, str]:
        found: dict[str, str] = dict(self._select("SELECT name, value FROM meta", (), (TEXT, TEXT)))
        missing = {"metric", "direction", "keep_rejected", "created"} - found.keys()
        if missing:
            raise damaged(f"no {', '.join(sorted(missing))} recorded in {self.path}")
        for name, words in (("direction", ("maximize", "minimize")), ("keep_rejected", ("key", "full", "none"))):
            if found[name] not in words:
                raise damaged(f"{name} {found[name]!r:.40} recorded in {self.path}")
        return found

    def _later_columns(self, table: str) -> dict[str, str]:
        """The columns of all metrics and of the device; nothing where an older archive is read that has none."""
        there = self._version >= WITH_METRICS
        return {name: f"{table}.{name}" if there else "NULL" for name in ("metrics", "device")}

    def close(self) -> None:
        self._connection.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def _select(self, sql: str, parameters: tuple[Any, ...], kinds: Kinds) -> list[tuple[Any, ...]]:
        """All rows of a query, each value of a type that its column may have."""
        with self._lock, storage_errors(self.path):
            rows = self._connection.execute(sql, parameters).fetchall()
        for row in rows:
            verify_kinds(row, kinds, self.path)
        return rows

    def _pages(
        self, select: str, id: str, where: str, parameters: tuple[Any, ...], kinds: Kinds
    ) -> Iterator[tuple[Any, ...]]:
        """All rows in the order of `id`, a page at a time: no long read holds back the writer's log."""
        last = 0
        sql = f"{select} WHERE {where} AND {id} > ? ORDER BY {id} LIMIT {_PAGE}"
        while rows := self._select(sql, (*parameters, last), kinds):
            if rows[-1][0] <= last:
                raise damaged(f"rows out of order in {self.path}")
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
            sql = f"SELECT 1 FROM structure WHERE {column} = ? LIMIT 1"
            return bool(self._select(sql, (pack_digest(digest),), (WHOLE,)))
        sql = f"""SELECT 1 FROM structure x JOIN candidate c ON c.structure_id = x.id WHERE x.{column} = ? AND
            (c.island <> ? OR (c.superseded = 0 AND (c.generation, c.position) < (?, ?))) LIMIT 1"""
        place = (before.island, before.generation, before.index)
        return bool(self._select(sql, (pack_digest(digest), *place), (WHOLE,)))

    def fingerprints(self) -> Iterator[str]:
        """All fingerprints, to fill an island's cache on restart."""
        for _, stored in self._pages(
            "SELECT x.id, x.fingerprint FROM structure x", "x.id", "x.fingerprint IS NOT NULL", (), (WHOLE, DIGEST)
        ):
            yield unpack_digest(stored)

    def evaluation(self, key: str, task: str, seed: int, budget: int) -> Evaluation | None:
        """The archived evaluation of that cell, or None."""
        sql = f"{self._select_evaluations} WHERE x.key = ? AND e.task = ? AND e.seed = ? AND e.budget = ?"
        rows = self._select(sql, (pack_digest(key), task, seed, budget), EVALUATION_KINDS)
        return evaluation_from_row(rows[0]) if rows else None

    def evaluations(self, key: str | None = None, task: str | None = None) -> Iterator[Evaluation]:
        """Evaluations in the order they were archived."""
        where, parameters = _conditions({"x.key": None if key is None else pack_digest(key), "e.task": task})
        for row in self._pages(self._select_evaluations, "e.id", where, parameters, EVALUATION_KINDS):
            yield evaluation_from_row(row)

    def candidate(self, key: str) -> Candidate | None:
        """The candidate with that key: the first accepted one, else the first."""
        sql = f"{self._select_candidates} WHERE x.key = ? ORDER BY c.verdict <> '{ACCEPTED}', c.id LIMIT 1"
        rows = self._select(sql, (pack_digest(key),), CANDIDATE_KINDS)
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
        condition = f"c.id > ? AND {where}"
        for row in self._pages(self._select_candidates, "c.id", condition, (after_id, *parameters), CANDIDATE_KINDS):
            yield candidate_from_row(row)

    # Totals

    def funnel(self) -> list[FilterCount]:
        """Per filter, in the order of first report: counts and seconds summed over islands."""
        rows = self._select(
            "SELECT filter, sum(considered), sum(rejected), sum(seconds) FROM filter_count"
            " GROUP BY filter ORDER BY min(rowid)",
            (),
            (TEXT, WHOLE, WHOLE, REAL),
        )
        return [FilterCount(*row) for row in rows]

    def counts(self) -> Counts:
        tally: dict[str, dict[str, int]] = {"verdict": {}, "status": {}, "event": {}}
        sql = "SELECT kind, name, n FROM tally ORDER BY kind, n DESC"
        for kind, name, n in self._select(sql, (), (TEXT, TEXT, WHOLE)):
            tally.setdefault(kind, {})[name] = n
        verdicts, statuses = tally["verdict"], tally["status"]
        evaluations = sum(statuses.values())
        return Counts(
            candidates=sum(verdicts.values()),
            accepted=verdicts.get(ACCEPTED, 0),
            structures=self._number("SELECT ifnull(max(id), 0) FROM structure"),  # no row is ever deleted
            evaluations=evaluations,
            failed=evaluations - statuses.get(OK, 0),
            disagreements=tally["event"].get("disagreement", 0),
            verdicts=verdicts,
            statuses=statuses,
        )

    def mark(self) -> int:
        """How much has been archived: grows with every candidate, evaluation and report, and never shrinks."""
        return self._number("SELECT ifnull(sum(n), 0) FROM tally")

    def _number(self, sql: str) -> int:
        return int(self._select(sql, (), (WHOLE,))[0][0])

    def check(self) -> None:
        """Read the whole file and prove it sound. Raises UserError with the first fault found."""
        faults = [row[0] for row in self._select("PRAGMA integrity_check(1)", (), (TEXT,)) if row[0] != "ok"]
        foreign = self._select('SELECT "table" FROM pragma_foreign_key_check LIMIT 1', (), (TEXT,))
        faults += [f"a row of {row[0]} refers to nothing" for row in foreign]
        if not faults:
            recomputed = (
                SCORES.format(score=robust_mean_sql(self._sign, self.robustness))
                + " GROUP BY e.structure_id, e.task, e.budget"
            )
            sql = f"SELECT count(*) FROM ({recomputed} EXCEPT SELECT * FROM score)"
            if self._number(sql):
                faults.append("scores that do not follow from the evaluations")
        if faults:
            raise damaged(f"{faults[0]} ({self.path})")


def _directions(text: str | None, path: Path) -> dict[str, str]:
    """Directions of metrics in an archive's facts; archives of older versions have none."""
    found = {} if text is None else decode_json(text, str(path), dict)
    if not set(found.values()) <= {"maximize", "minimize"}:
        raise damaged(f"directions {text!r:.60} recorded in {path}")
    return found


def _robustness(text: str | None, path: Path) -> float:
    """The share by which scores are moved towards the worst seed; archives of older versions have none."""
    try:
        found = float(text or 0.0)
    except ValueError:
        found = math.nan
    if not 0.0 <= found <= 1.0:
        raise damaged(f"robustness {text!r:.40} recorded in {path}")
    return found


def _conditions(values: dict[str, Any]) -> tuple[str, tuple[Any, ...]]:
    """A WHERE clause of the equalities whose value is given."""
    given = {column: value for column, value in values.items() if value is not None}
    return " AND ".join(f"{column} = ?" for column in given) or "1", tuple(given.values())
