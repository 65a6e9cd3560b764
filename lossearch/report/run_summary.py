"""What a run directory holds, gathered for a report: scores, totals, the course of the search, what is missing."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from lossearch.archive.discovered import discovered_loss, identifier
from lossearch.archive.failures import Failure
from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.seeds import seed_of
from lossearch.archive.store import Archive, Counts, FilterCount, Ranked
from lossearch.comparison.verdict import Units
from lossearch.engine.setup.begun import accepted_changes
from lossearch.errors import UserError
from lossearch.joint_loss import AnyLoss
from lossearch.reading import parse_json, read_text
from lossearch.report.comparison_file import ComparisonFile, read_comparison
from lossearch.report.learning import Learning, learning_of
from lossearch.report.race_table import RaceTable, race_table
from lossearch.tasks import metrics

CONSIDERED = 20_000
"""Candidates whose scores are looked at, best first."""

HALL_OF_FAME = 40

REASONS = 20
"""Different reasons of failures that are listed."""


@dataclass(frozen=True)
class Scored:
    """A candidate that trained without failure, with its place in the ranking, from 1.

    The rank is the one that names it on the command line; the metric is the search's own score, or that of the race.
    The others, the metrics besides the ranking one, are there for what stands in a table.
    """

    rank: int
    ranked: Ranked
    metric: float
    others: Mapping[str, float] = field(default_factory=dict)

    @property
    def complexity(self) -> int:
        """Operators of the formula."""
        return self.ranked.candidate.complexity or 0

    @property
    def text(self) -> str:
        """One-line form."""
        return self.ranked.candidate.text or ""

    @property
    def made_by(self) -> str:
        """How the search made it."""
        return self.ranked.candidate.operator

    @property
    def seed(self) -> str | None:
        """What the seed that it is is called, or None."""
        return seed_of(self.made_by)


@dataclass(frozen=True)
class TrainingTotals:
    """Totals over evaluations. last: seconds since the epoch at which the last one ended, None without any."""

    count: int
    seconds: float
    last: float | None
    islands: int


@dataclass(frozen=True)
class RunSummary:
    """A run, as far as it went.

    Attributes:
        name: Of the directory.
        metric: Of the search, on validation data.
        units: How its values are written.
        budget: Steps of the trainings that are compared; None where nothing trained.
        scored: By the search's own scores, best first, all measured at `budget`; at most `CONSIDERED`.
        stopped: Candidates that were stopped early.
        others: Candidates considered that are not in `scored`: stopped early, or failed.
        drawn_front: The front by the search's own scores, which share a scale with `scored`.
        front, hall, best: By the final race, where there was one.
        course: (trainings done, best score from then on).
        failures: Why candidates failed in training, the most common reason first; at most `REASONS`.
        learning: What meta-learning did; None for other searches.
        notes: What is missing or unusual, in sentences.
    """

    name: str
    path: Path
    created: str
    tasks: tuple[str, ...]
    metric: str
    higher_is_better: bool
    units: Units
    counts: Counts
    funnel: tuple[FilterCount, ...]
    trainings: TrainingTotals
    budget: int | None
    scored: tuple[Scored, ...]
    stopped: int
    others: int
    best: Scored | None
    drawn_front: tuple[Scored, ...]
    front: tuple[Scored, ...]
    hall: tuple[Scored, ...]
    race: RaceTable | None
    course: tuple[tuple[int, float], ...]
    failures: tuple[Failure, ...]
    config: str
    environment: Mapping[str, Any]
    comparison: ComparisonFile | None
    learning: Learning | None
    notes: tuple[str, ...]

    @property
    def seeds(self) -> tuple[Scored, ...]:
        """The seeds, best first."""
        return tuple(one for one in self.scored if one.seed is not None)

    def shown(self, value: float) -> str:
        """A value of the metric with its unit."""
        return self.units.value(value) + (" %" if self.units.factor == 100.0 else "")


def summarize(path: Path) -> RunSummary:
    """Gather a run. Raises `UserError` if there is no run, or its archive is missing or damaged."""
    run = RunDirectory.open(path)
    notes: list[str] = []
    with run.open_archive(read_only=True) as archive:
        return _summary(run, archive, notes)


def _summary(run: RunDirectory, archive: Archive, notes: list[str]) -> RunSummary:
    counts = archive.counts()
    considered = min(counts.accepted, CONSIDERED)
    ranked = archive.ranked(considered, raced=False)
    final = archive.ranked(considered)
    ranks = {row.candidate.key: rank for rank, row in enumerate(final, start=1)}
    budget = next((row.budget for row in ranked if row.metric is not None), None)
    scored = [one for one in _placed(ranked, ranks) if one.ranked.budget == budget]
    trainings = _trainings(archive)
    notes += [*_peculiarities(counts, ranked), *_script_changes(run)]
    return RunSummary(
        name=run.path.resolve().name,
        path=run.path,
        created=archive.created,
        tasks=tuple(archive.tasks()),
        metric=archive.metric,
        higher_is_better=archive.higher_is_better,
        units=_units(archive.metric),
        counts=counts,
        funnel=tuple(archive.funnel()),
        trainings=trainings,
        budget=budget,
        scored=tuple(scored),
        stopped=archive.stopped(),
        others=len(ranked) - len(scored),
        best=next(_placed(final, ranks), None),
        drawn_front=tuple(_placed(archive.pareto_front(raced=False), ranks)),
        front=tuple(_with_others(archive, _placed(archive.pareto_front(), ranks))),
        hall=tuple(_with_others(archive, _placed(archive.hall_of_fame(HALL_OF_FAME), ranks))),
        race=race_table(archive),
        course=tuple(archive.best_so_far()),
        failures=tuple(archive.failures()[:REASONS]),
        config=run.config_text(),
        environment=_environment(run, notes),
        comparison=_comparison(run, notes),
        learning=learning_of(archive, ranked),
        notes=tuple(notes),
    )


def _placed(rows: list[Ranked], ranks: Mapping[str, int]) -> Iterator[Scored]:
    """Rank 0 stands for one beyond `CONSIDERED`."""
    for row in rows:
        if row.metric is not None:
            yield Scored(ranks.get(row.candidate.key, 0), row, row.metric)


def _with_others(archive: Archive, rows: Iterable[Scored]) -> Iterator[Scored]:
    for row in rows:
        yield replace(row, others=archive.other_metrics(row.ranked))


def _trainings(archive: Archive) -> TrainingTotals:
    count, seconds, last, islands = 0, 0.0, None, set[int | None]()
    for evaluation in archive.evaluations():
        count += 1
        seconds += evaluation.seconds
        islands.add(evaluation.island)
        if evaluation.timestamp is not None:
            last = max(evaluation.timestamp, evaluation.timestamp if last is None else last)
    return TrainingTotals(count, seconds, last, len(islands))


def _units(metric: str) -> Units:
    known = metrics()
    return Units.of(known[metric]) if metric in known else Units(metric, 1.0, 4)


def _peculiarities(counts: Counts, ranked: list[Ranked]) -> Iterator[str]:
    if counts.candidates == 0:
        yield "The archive is empty: the search has not archived a candidate yet."
    elif counts.accepted == 0:
        yield "No candidate has passed the filters yet; the filters below say what stopped them."
    elif counts.evaluations == 0:
        yield "Candidates have passed the filters, but no training has ended yet."
    elif all(row.metric is None for row in ranked):
        yield "Every training failed, so there is no score to rank by."
    superseded = sum(1 for row in ranked if row.candidate.superseded)
    if superseded:
        yield (
            f"The search was resumed after an interruption: {superseded} of the ranked candidates were made in"
            " generations that an island has repeated since. They count like all others."
        )
    if counts.disagreements:
        yield (
            f"{counts.disagreements} trainings were repeated with another outcome than the first one, which stands:"
            " training on this machine is not quite deterministic."
        )
    if counts.accepted > CONSIDERED:
        yield f"Figures consider the best {CONSIDERED} of {counts.accepted} accepted candidates."


def _script_changes(run: RunDirectory) -> Iterator[str]:
    try:
        changes = accepted_changes(run)
    except UserError as error:
        yield f"Whether the training script was changed is not known: {error.found}."
        return
    for change in changes:
        yield (
            f"The search went on with another training script after {change.candidates} candidates"
            f" ({'; '.join(change.files)}), which was accepted: scores before and after need not compare."
        )


def _environment(run: RunDirectory, notes: list[str]) -> Mapping[str, Any]:
    if not run.environment.exists():
        notes.append(f"There is no {run.environment.name}, so the versions that ran the search are not known.")
        return {}
    required, hint = f"{run.environment.name} as the search wrote it", "restore it from a copy"
    try:
        found = parse_json(read_text(run.environment, required, hint), required, hint)
    except UserError as error:
        notes.append(f"{run.environment.name} cannot be read ({error.found}), so the versions are not known.")
        return {}
    return found if isinstance(found, dict) else {"environment": found}


def _comparison(run: RunDirectory, notes: list[str]) -> ComparisonFile | None:
    try:
        return read_comparison(run.path)
    except UserError as error:
        notes.append(f"The comparison cannot be shown. {error}.")
        return None


def candidate_loss(run: str, one: Scored) -> AnyLoss:
    """The loss of a scored candidate; raises `UserError` if its graph is missing or malformed."""
    name = "discovered" if one.seed is None else f"{identifier(one.seed)}_as_found"
    return replace(discovered_loss(run, one.ranked, one.rank), name=name)
