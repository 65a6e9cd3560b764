"""The final race as a table: each candidate's rank before and after it, and what its trainings showed."""

from __future__ import annotations

from collections import defaultdict
from dataclasses import dataclass

from lossearch.archive.store import Archive, Ranked
from lossearch.comparison.statistics import Interval, bootstrap_interval


@dataclass(frozen=True)
class RaceRow:
    """One candidate that raced.

    Attributes:
        before: Its rank by the search's own scores.
        after: Its rank now, 0 where a training failed.
        ranked: Its row, with its standing.
        interval: Of its mean over the seeds; None where a training failed.
        verdict: What the race decided, in words.
    """

    before: int
    after: int
    ranked: Ranked
    interval: Interval | None
    verdict: str


@dataclass(frozen=True)
class RaceTable:
    """A race that has ended.

    Attributes:
        rows: Best first.
        budget: Steps of each training.
        seeds: Of those that lasted.
        trainings: All of them.
        seconds: They took.
    """

    rows: tuple[RaceRow, ...]
    budget: int
    seeds: int
    trainings: int
    seconds: float


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
    rows = [_row(rank, row, values[row.candidate.key]) for rank, row in enumerate(ranked, start=1)]
    if broken:
        everybody = {row.candidate.key: row for row in archive.ranked(archive.counts().accepted)}
        rows += [_row(0, everybody[key], []) for key in broken if key in everybody and everybody[key].standing]
    seconds = sum(one.seconds for one in trainings)
    return RaceTable(tuple(rows), budget, max(one.seeds for one in standings), len(trainings), seconds)


def _row(rank: int, row: Ranked, values: list[float]) -> RaceRow:
    standing = row.standing
    assert standing is not None  # of those that raced
    interval = bootstrap_interval(values[: standing.seeds]) if standing.metric is not None else None
    if standing.metric is None:
        verdict = f"{standing.failed} of {standing.seeds} trainings failed"
    elif standing.ruled_out is None:
        verdict = "lasted"
    else:
        verdict = f"ruled out after {standing.ruled_out} seeds"
    return RaceRow(standing.before, rank, row, interval, verdict)
