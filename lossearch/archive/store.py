"""The archive of a run: every candidate and every evaluation, in one SQLite file with one writer."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from lossearch.archive import margins, races
from lossearch.archive.margins import MovedTraining
from lossearch.archive.ranking import ArchiveReader
from lossearch.archive.records import (
    DUPLICATE_FINGERPRINT,
    Candidate,
    Counts,
    Evaluation,
    FilterCount,
    Origin,
    RaceTraining,
    Ranked,
    Retention,
    Standing,
    encode_json,
    encode_numbers,
    finite_or_none,
    pack_digest,
    unpack_digest,
)
from lossearch.archive.schema import create_database, storage_errors
from lossearch.errors import UserError

__all__ = [
    "Archive",
    "ArchiveReader",
    "Candidate",
    "Counts",
    "Evaluation",
    "FilterCount",
    "Origin",
    "RaceTraining",
    "Ranked",
    "Retention",
    "Standing",
]

_ROW = "structure_id, verdict, operator, parents"  # what must agree when an origin is submitted again


class Archive(ArchiveReader):
    """The writer of an archive, and all that a reader can do.

    Each method that adds is one transaction: when it returns, killing the process loses none of it (the last
    commits are at risk only in a power cut). Submitting again what is already there is harmless, so a
    restarted island may repeat itself. Works inside a Ray actor as it is: `ray.remote(Archive).remote(path)`
    opens an existing archive.
    """

    def __init__(self, path: str | Path, read_only: bool = False) -> None:
        super().__init__(path, read_only)

    @classmethod
    def create(
        cls,
        path: str | Path,
        metric: str,
        higher_is_better: bool,
        keep_rejected: Retention = "key",
        directions: Mapping[str, str] | None = None,
        robustness: float = 0.0,
    ) -> Archive:
        """A new archive. `directions`: of further metrics, and `robustness`, see `ArchiveLookups`.

        `keep_rejected`: how much of a rejected candidate is stored.

        "key": key, verdict, and the fingerprint where it serves deduplication; "full": all; "none": it is
        only counted, and a later duplicate of it is not recognised.
        """
        if keep_rejected not in ("key", "full", "none"):
            raise UserError(
                required='keep_rejected "key", "full" or "none"',
                found=repr(keep_rejected),
                hint="correct the configuration",
            )
        create_database(Path(path), metric, higher_is_better, keep_rejected, directions or {}, robustness)
        return cls(path)

    @classmethod
    def open(cls, path: str | Path, read_only: bool = False) -> Archive:
        """An existing archive. Raises UserError if it is missing, damaged, no archive, or from a newer
        version.
        """
        return cls(path, read_only)

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        with self._lock, storage_errors(self.path):
            self._connection.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._connection.execute("COMMIT")
            except BaseException:
                if self._connection.in_transaction:  # a full disk makes SQLite roll back by itself
                    self._connection.execute("ROLLBACK")
                raise

    def add_candidate(self, candidate: Candidate) -> None:
        self.add_candidates([candidate])

    def add_candidates(self, batch: Iterable[Candidate], keep_rejected: Retention | None = None) -> None:
        """Archive a batch, in one transaction. `keep_rejected` overrides the archive's setting for this
        batch.

        With retention "none" an island submits its candidates in the order of their origins, since that alone
        tells a repeated rejection from a new one. Raises UserError if another candidate is archived under one
        of the origins.
        """
        retention = keep_rejected or self.keep_rejected
        verdicts: Counter[str] = Counter()
        with self._transaction():
            for candidate in batch:
                if candidate.kept or retention != "none":
                    added = self._insert_candidate(candidate, full=candidate.kept or retention == "full")
                else:
                    added = self._is_new(candidate.origin)
                if added:
                    verdicts[candidate.verdict] += 1
                    self._advance(candidate.origin)
            self._count("verdict", verdicts)

    def _insert_candidate(self, candidate: Candidate, full: bool) -> bool:
        origin = candidate.origin
        structure_id = self._structure_id(candidate, full)
        row = (
            structure_id,
            candidate.verdict,
            candidate.operator if full else "",
            encode_json(candidate.parents) if full and candidate.parents else None,
        )
        place = (origin.island, origin.generation, origin.index)
        cursor = self._connection.execute(
            f"INSERT INTO candidate ({_ROW}, island, generation, position, reason, numbers, proposal)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)"
            " ON CONFLICT (island, generation, position, superseded) DO NOTHING",
            (
                *row,
                *place,
                candidate.reason if full else "",
                encode_json(dict(candidate.numbers)) if full and candidate.numbers else None,
                pack_digest(candidate.proposal) if full and candidate.proposal else None,
            ),
        )
        if cursor.rowcount == 1:
            return True
        self._verify_repetition(candidate, place, row)
        return False

    def _structure_id(self, candidate: Candidate, full: bool) -> int:
        """The row of this key, written where it is new and completed where a rejection had left it bare."""
        remember = full or candidate.verdict != DUPLICATE_FINGERPRINT
        fingerprint = pack_digest(candidate.fingerprint) if candidate.fingerprint and remember else None
        described = (candidate.text, candidate.graph, candidate.complexity) if full else (None, None, None)
        values = (fingerprint, *described, int(candidate.accepted))
        key = pack_digest(candidate.key)
        found = self._connection.execute(
            "SELECT id, fingerprint, text, graph, complexity, accepted FROM structure WHERE key = ?", (key,)
        ).fetchone()
        if found is None:
            added = self._connection.execute(
                "INSERT INTO structure (fingerprint, text, graph, complexity, accepted, key) VALUES (?, ?, ?, ?, ?, ?)",
                (*values, key),
            )
            return int(added.lastrowid or 0)
        id, *known = found
        merged = [old if old is not None else new for old, new in zip(known[:-1], values[:-1], strict=True)]
        merged.append(max(known[-1], values[-1]))
        if merged != known:
            self._connection.execute(
                "UPDATE structure SET fingerprint = ?, text = ?, graph = ?, complexity = ?, accepted = ? WHERE id = ?",
                (*merged, id),
            )
        return int(id)

    def _verify_repetition(self, candidate: Candidate, place: tuple[int, int, int], row: tuple[Any, ...]) -> None:
        stored = self._connection.execute(
            f"SELECT {_ROW}, (SELECT key FROM structure WHERE id = structure_id) FROM candidate"
            " WHERE island = ? AND generation = ? AND position = ? AND superseded = 0",
            place,
        ).fetchone()
        if stored[:-1] != row:
            raise UserError(
                required="the same candidates as before from a resumed island",
                found="candidate {} of generation {}, island {}: archived as {} ({}), now {} ({})".format(
                    *reversed(place),
                    unpack_digest(stored[-1])[:12],
                    stored[1],
                    candidate.key[:12],
                    candidate.verdict,
                ),
                hint="resume with the configuration and the versions that began this run, or start a new run",
            )

    def _is_new(self, origin: Origin) -> bool:
        row = self._connection.execute(
            "SELECT generation, position FROM latest WHERE island = ?", (origin.island,)
        ).fetchone()
        return row is None or (origin.generation, origin.index) > row

    def _advance(self, origin: Origin) -> None:
        self._connection.execute(
            "INSERT INTO latest VALUES (?, ?, ?) ON CONFLICT (island) DO UPDATE"
            " SET generation = excluded.generation, position = excluded.position"
            " WHERE (excluded.generation, excluded.position) > (latest.generation, latest.position)",
            (origin.island, origin.generation, origin.index),
        )

    def add_evaluation(self, evaluation: Evaluation) -> Evaluation:
        """Archive one evaluation of an archived candidate, and return the one that stands for its cell."""
        return self.add_evaluations([evaluation])[0]

    def add_evaluations(self, batch: Sequence[Evaluation]) -> list[Evaluation]:
        """Archive a batch, in one transaction; returns the evaluations that stand for their cells.

        The first evaluation of a cell (candidate, task, seed, budget) stands. One that comes later with
        another outcome (a training that is not deterministic) is not stored but counted, in
        `counts().disagreements`. Raises ValueError if a candidate is not in the archive.
        """
        statuses: Counter[str] = Counter()
        standing: list[Evaluation] = []
        with self._transaction():
            for evaluation in batch:
                stored = self.evaluation(evaluation.key, evaluation.task, evaluation.seed, evaluation.budget)
                if stored is None:
                    self._insert_evaluation(evaluation)
                    statuses[evaluation.status] += 1
                    stored = self.evaluation(evaluation.key, evaluation.task, evaluation.seed, evaluation.budget)
                    assert stored is not None
                elif _outcome(stored) != _outcome(evaluation):
                    self._count("event", {"disagreement": 1})
                    self._connection.execute(
                        "UPDATE evaluation SET disagreements = disagreements + 1 WHERE id = ?", (stored.id,)
                    )
                standing.append(stored)
            self._count("status", statuses)
        return standing

    def _insert_evaluation(self, evaluation: Evaluation) -> None:
        found = self._connection.execute(
            "SELECT id FROM structure WHERE key = ?", (pack_digest(evaluation.key),)
        ).fetchone()
        if found is None:
            raise ValueError(f"evaluation of {evaluation.key}, which is not in the archive: add the candidate first")
        self._connection.execute(
            "INSERT INTO evaluation (structure_id, task, budget, seed, metric, status, curve, seconds,"
            " step_scale, learning_rate, island, timestamp, metrics, device)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                found[0],
                evaluation.task,
                evaluation.budget,
                evaluation.seed,
                finite_or_none(evaluation.metric),
                evaluation.status,
                encode_json(evaluation.curve),
                evaluation.seconds,
                evaluation.step_scale,
                evaluation.learning_rate,
                evaluation.island,
                time.time() if evaluation.timestamp is None else evaluation.timestamp,
                encode_numbers(evaluation.metrics),
                evaluation.device,
            ),
        )

    def add_race_trainings(self, batch: Iterable[RaceTraining]) -> None:
        """Archive trainings of the final race, in one transaction; what is there already stands."""
        with self._transaction():
            races.insert_trainings(self._connection, batch)

    def add_moved_trainings(self, batch: Iterable[MovedTraining]) -> None:
        """Archive trainings at other learning rates, in one transaction; what is there already stands."""
        with self._transaction():
            margins.insert_moved(self._connection, batch)

    def end_race(self, standings: Iterable[Standing]) -> None:
        """Archive where a race left its candidates: from now on they are ranked by that."""
        with self._transaction():
            races.replace_standings(self._connection, standings)

    def forget_race(self) -> None:
        """Delete all of the final race, as its trainings and later ones would not compare."""
        with self._transaction():
            races.delete_all(self._connection)

    def add_filter_counts(self, island: int, generation: int, counts: Iterable[FilterCount]) -> None:
        """Add what the filters of one island did in one generation, whole; the same generation again is
        ignored.
        """
        with self._transaction():
            self._connection.executemany(
                "INSERT INTO filter_count VALUES (?, ?, ?, ?, ?, ?) ON CONFLICT (island, filter) DO UPDATE"
                " SET generation = excluded.generation, considered = considered + excluded.considered,"
                " rejected = rejected + excluded.rejected, seconds = seconds + excluded.seconds"
                " WHERE excluded.generation > filter_count.generation",
                [(island, c.filter, generation, c.considered, c.rejected, c.seconds) for c in counts],
            )
            self._count("event", {"report": 1})

    def secure(self) -> int:
        """Move all commits from the log file into the archive's own, synchronised to disk; returns the `mark`.

        From then on neither a power cut nor a copy of the archive without its log file loses them, unless a reader that
        began earlier still looks at what was there before.
        """
        with self._lock, storage_errors(self.path):
            self._connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        return self.mark()

    def supersede(self, island: int, from_generation: int) -> int:
        """Free the origins of an island from a generation on, for a restarted island that will not repeat
        itself.

        With several islands a restart meets other migrants than before, so its generations differ. What they
        made the first time stays archived and ranked, marked superseded. Returns how many candidates that
        were. An island alone repeats itself exactly and must not call this: the archive then proves the
        repetition.
        """
        with self._transaction():
            superseded = self._connection.execute(
                "UPDATE candidate"
                " SET superseded = 1 + (SELECT max(superseded) FROM candidate WHERE island = ?)"
                " WHERE island = ? AND generation >= ? AND superseded = 0",
                (island, island, from_generation),
            ).rowcount
            self._connection.execute(
                "UPDATE filter_count SET generation = ? WHERE island = ? AND generation >= ?",
                (from_generation - 1, island, from_generation),
            )
            self._connection.execute(
                "UPDATE latest SET generation = ?, position = ? WHERE island = ? AND generation >= ?",
                (from_generation - 1, 2**62, island, from_generation),
            )
        return superseded

    def _count(self, kind: str, added: Counter[str] | dict[str, int]) -> None:
        self._connection.executemany(
            "INSERT INTO tally VALUES (?, ?, ?) ON CONFLICT (kind, name) DO UPDATE SET n = n + excluded.n",
            [(kind, name, n) for name, n in added.items()],
        )


def _outcome(evaluation: Evaluation) -> tuple[Any, ...]:
    """What a repeated training must reproduce. Text, since NaN in a curve equals no other NaN."""
    metric = finite_or_none(evaluation.metric)
    curve = encode_json(evaluation.curve)
    return metric, evaluation.status, curve, evaluation.step_scale, evaluation.learning_rate
