"""The writer of the archive: one process beside the driver, to which all islands report."""

from __future__ import annotations

import fcntl
import os
import time
from collections import Counter
from pathlib import Path

from lossearch.archive.records import ACCEPTED, OK
from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.seeds import seed_of
from lossearch.archive.store import Archive
from lossearch.engine.writer.exchange import Exchange
from lossearch.engine.writer.messages import (
    AUDITED_FILTERS,
    Batch,
    Claim,
    GenerationReport,
    Parcel,
    Trained,
)
from lossearch.engine.writer.progress import Progress, Tracker
from lossearch.engine.writer.same_failure import SameFailure
from lossearch.errors import UserError

WRITER_PATIENCE = 60.0  # seconds in which the writer of a killed search must have ended


class ArchiveWriter:
    """Owns the archive of a run while a search runs. Implements `Scribe`; each call commits before it returns.

    Nothing that matters is kept in memory alone: after a restart the archive tells what is known.

    Args:
        run: path of the run directory.
        islands: how many; with one, a restarted island repeats itself, with several it need not.
        task: the task's name in the archive.
    """

    def __init__(self, run: str, islands: int, task: str) -> None:
        self._lock = hold_writer_lock(Path(run), WRITER_PATIENCE)
        self._archive = Archive.open(RunDirectory(run).archive)
        self._islands = islands
        self._task = task
        self._exchange = Exchange(islands)
        self._trained: dict[str, str] = {}
        self._attempts: Counter[tuple[int, str]] = Counter()
        self._tracker = Tracker(self._archive, task)
        self._failure: Exception | None = None
        self._same_failure = SameFailure(run, OK in self._archive.counts().statuses)

    def begin(self, island: int, generation: int) -> frozenset[str]:
        """An island starts, or starts again, at a generation: what it has trained from there on need not be again."""
        with self._recorded():
            for verdict in (ACCEPTED, *AUDITED_FILTERS):
                for candidate in self._archive.candidates(island=island, verdict=verdict):
                    if candidate.origin.generation >= generation and candidate.graph is not None:
                        self._trained.setdefault(candidate.proposed_as, candidate.key)
            if self._islands > 1:
                self._archive.supersede(island, generation)
            self._exchange.forget(island)
        return frozenset(self._trained) | {proposal for number, proposal in self._attempts if number == island}

    def claim(self, island: int, proposal: str) -> Claim:
        """What is known of a proposal that an island is about to train."""
        with self._recorded():
            return Claim(self._attempts[island, proposal], self._find(proposal))

    def starting(self, island: int, proposal: str) -> None:
        """An island begins to train a proposal."""
        self._attempts[island, proposal] += 1

    def _find(self, proposal: str) -> Trained | None:
        key = self._trained.get(proposal)
        candidate = self._archive.candidate(key) if key is not None else None
        if candidate is None:
            return None
        evaluations = tuple(self._archive.evaluations(candidate.key, self._task))
        return Trained(candidate, evaluations) if evaluations else None

    def submit(self, island: int, batch: Batch) -> None:
        """Archive a batch; raises `UserError` once every training has failed for one reason."""
        with self._recorded():
            if batch.candidates:
                self._archive.add_candidates(batch.candidates)
            if batch.audited:
                self._archive.add_candidates(batch.audited, keep_rejected="full")
            if batch.evaluations:
                self._archive.add_evaluations(batch.evaluations)
        for candidate in (*batch.candidates, *batch.audited):
            if candidate.graph is not None:
                if self._islands > 1 and seed_of(candidate.operator) is not None:  # nothing else is asked for by others
                    self._trained[candidate.proposed_as] = candidate.key
                self._attempts.pop((island, candidate.proposed_as), None)
        self._tracker.add(batch)
        with self._recorded():
            self._same_failure.look_at(batch)

    def report(self, island: int, report: GenerationReport) -> int:
        """Archive what the filters did in a generation, and put the archive on disk; returns its mark."""
        with self._recorded():
            self._archive.add_filter_counts(island, report.generation, report.filters)
            mark = self._archive.secure()
        self._tracker.report(island, report)
        return mark

    def exchange(self, island: int, parcel: Parcel) -> Parcel:
        """Swap parcels with the other islands."""
        return self._exchange.swap(island, parcel)

    def fail(self, island: int, error: Exception) -> None:
        """Note what ends the search."""
        self._failure = self._failure or error

    def failure(self) -> Exception | None:
        """What ended the search, if anything did."""
        return self._failure

    def progress(self) -> Progress:
        """How the search stands."""
        with self._recorded():
            return self._tracker.snapshot()

    def close(self) -> None:
        """Close the archive and let go of it."""
        self._archive.close()
        os.close(self._lock)

    def _recorded(self) -> _Recorded:
        return _Recorded(self)


class _Recorded:
    """Notes a UserError as the end of the search, and lets it through."""

    def __init__(self, writer: ArchiveWriter) -> None:
        self._writer = writer

    def __enter__(self) -> None:
        return None

    def __exit__(self, kind: object, error: BaseException | None, trace: object) -> None:
        if isinstance(error, UserError):
            self._writer.fail(-1, error)


def hold_writer_lock(run: Path, patience: float) -> int:
    """Wait until no other process writes the archive, and hold it; returns the descriptor to close.

    Raises:
        UserError: another one still writes after `patience` seconds.
    """
    descriptor = os.open(run / "writer.lock", os.O_RDWR | os.O_CREAT, 0o644)
    deadline = time.monotonic() + patience
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            return descriptor
        except BlockingIOError as error:
            if time.monotonic() > deadline:
                os.close(descriptor)
                raise UserError(
                    "an archive that no other process writes", f"{run} is being written", "end the other search"
                ) from error
            time.sleep(0.1)
