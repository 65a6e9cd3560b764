"""How a search stands: plain data, gathered where the archive is written and polled by whoever shows it."""

from __future__ import annotations

import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field

from lossearch.archive.records import ACCEPTED
from lossearch.archive.store import ArchiveReader
from lossearch.engine.writer.messages import Batch, GenerationReport

_WINDOW = 60.0  # seconds over which the rate is measured


@dataclass(frozen=True, slots=True)
class FrontPoint:
    """One loss of the Pareto front."""

    complexity: int
    metric: float
    text: str


@dataclass(frozen=True, slots=True)
class Progress:
    """How a search stands.

    Attributes:
        candidates: proposals so far, rejected ones included, over all sessions.
        trained: accepted and trained ones.
        failed: trainings, one per seed, that ended without a metric.
        rejected: candidates rejected by each filter.
        rate: proposals per second over the last minute.
        best: the loss with the best score, or None.
        front: Pareto front over metric and complexity, in order of complexity.
        islands: the last report of each island.
        seconds: since this session began.
        ages: seconds since each island's last report.
    """

    candidates: int
    trained: int
    failed: int
    rejected: Mapping[str, int]
    rate: float
    best: FrontPoint | None
    front: tuple[FrontPoint, ...]
    islands: Mapping[int, GenerationReport]
    seconds: float
    ages: Mapping[int, float] = field(default_factory=dict)

    @property
    def overhead(self) -> float | None:
        """Share of the islands' wall-clock that was neither training nor screening; None before the first report."""
        wall = sum(report.wall_seconds for report in self.islands.values())
        busy = sum(report.training_seconds + report.screening_seconds for report in self.islands.values())
        return max(0.0, 1.0 - busy / wall) if wall > 0.0 else None


class Tracker:
    """Measures the pace; everything else is asked of the archive.

    Args:
        archive: of the run.
        task: its task.
    """

    def __init__(self, archive: ArchiveReader, task: str) -> None:
        self._archive = archive
        self._task = task
        self._arrivals: deque[tuple[float, int]] = deque()
        self._islands: dict[int, GenerationReport] = {}
        self._reported: dict[int, float] = {}
        self._start = time.monotonic()

    def add(self, batch: Batch) -> None:
        """Note when a batch came."""
        self._arrivals.append((time.monotonic(), len(batch.candidates) + len(batch.audited)))

    def report(self, island: int, report: GenerationReport) -> None:
        """Note the end of a generation."""
        self._islands[island] = report
        self._reported[island] = time.monotonic()

    def snapshot(self) -> Progress:
        """How the search stands now."""
        now = time.monotonic()
        while self._arrivals and now - self._arrivals[0][0] > _WINDOW:
            self._arrivals.popleft()
        rate = sum(count for _, count in self._arrivals) / max(1e-9, min(_WINDOW, now - self._start))
        counts = self._archive.counts()
        ranked = self._archive.pareto_front(task=self._task, raced=False)
        front = tuple(
            FrontPoint(row.candidate.complexity or 0, row.metric, row.candidate.text or "")
            for row in ranked
            if row.metric is not None
        )
        return Progress(
            candidates=counts.candidates,
            trained=counts.accepted,
            failed=counts.failed,
            rejected={name: count for name, count in counts.verdicts.items() if name != ACCEPTED},
            rate=rate,
            best=front[-1] if front else None,
            front=front,
            islands=dict(self._islands),
            seconds=now - self._start,
            ages={island: now - at for island, at in self._reported.items()},
        )
