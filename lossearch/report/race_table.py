"""The final race as a table: each candidate's rank before and after it, and what its trainings showed."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass

from lossearch.archive.margins import Margin, margin
from lossearch.archive.store import Archive, Ranked
from lossearch.comparison.statistics import ConfidenceInterval, bootstrap_interval


@dataclass(frozen=True)
class RaceRow:
    """One candidate that raced.

    Attributes:
        before: Its rank by the search's own scores.
        after: Its rank now, 0 where a training failed.
        ranked: Its row, with its standing.
        interval: Of its mean over the seeds; None where a training failed.
        verdict: What the race decided, in words.
        worst: The metric of its worst seed; None where a training failed.
        margin: How far its learning rate may be moved; None where that was not tried.
    """

    before: int
    after: int
    ranked: Ranked
    interval: ConfidenceInterval | None
    verdict: str
    worst: float | None
    margin: Margin | None


@dataclass(frozen=True)
class RaceTable:
    """A race that has ended.

    Attributes:
        rows: Best first.
        budget: Steps of each training.
        seeds: Of those that lasted.
        trainings: All of them, those at other learning rates too.
        seconds: They took.
        robustness: Share by which metrics are moved from the mean over the seeds towards the worst.
    """

    rows: tuple[RaceRow, ...]
    budget: int
    seeds: int
    trainings: int
    seconds: float
    robustness: float


def race_table(archive: Archive) -> RaceTable | None:
    """The race of a run; None where none has ended."""
    standings = archive.standings()
    if not standings:
        return None
    budget = standings[0].budget
    trainings = [one for one in archive.race_trainings() if one.budget == budget]
    values: dict[str, list[float]] = defaultdict(list)
    for one in sorted(trainings, key=lambda training: training.seed):
        if one.metric is not None:
            values[one.key].append(one.metric)
    ranked = [row for row in archive.ranked(len(standings)) if row.standing is not None]
    broken = [standing.key for standing in standings if standing.metric is None]
    moved = [one for one in archive.moved_trainings() if one.budget == budget]
    worst = min if archive.higher_is_better else max

    def made(rank: int, row: Ranked, known: list[float]) -> RaceRow:
        own = margin(one for one in moved if one.key == row.candidate.key)
        return _row(rank, row, known, worst, own)

    rows = [made(rank, row, values[row.candidate.key]) for rank, row in enumerate(ranked, start=1)]
    if broken:
        everybody = {row.candidate.key: row for row in archive.ranked(archive.counts().accepted)}
        rows += [made(0, everybody[key], []) for key in broken if key in everybody and everybody[key].standing]
    seconds = sum(one.seconds for one in (*trainings, *moved))
    seeds, count = max(one.seeds for one in standings), len(trainings) + len(moved)
    return RaceTable(tuple(rows), budget, seeds, count, seconds, archive.robustness)


def _row(
    rank: int,
    row: Ranked,
    values: list[float],
    worst: Callable[[list[float]], float],
    moved: Margin | None,
) -> RaceRow:
    standing = row.standing
    assert standing is not None  # of those that raced
    interval = bootstrap_interval(values[: standing.seeds]) if standing.metric is not None else None
    if standing.metric is None:
        verdict = f"{standing.failed} of {standing.seeds} trainings failed"
    elif standing.ruled_out is None:
        verdict = "lasted, behind others as its learning rate can hardly be moved" if standing.fragile else "lasted"
    else:
        verdict = f"ruled out after {standing.ruled_out} seeds"
    lowest = worst(values[: standing.seeds]) if standing.metric is not None else None
    return RaceRow(standing.before, rank, row, interval, verdict, lowest, moved)
