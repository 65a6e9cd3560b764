"""What came of an experiment, in a small JSON file of its own: `RESULTS.md` is written from these."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, ValidationError

from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.simplified import shorter_of
from lossearch.comparison.comparison import Comparison
from lossearch.comparison.statistics import ConfidenceInterval, PairedDifference
from lossearch.comparison.transfer import Aggregate, Cell, Transfer
from lossearch.comparison.verdict import Units
from lossearch.errors import UserError
from lossearch.experiments.experiment import Experiment
from lossearch.files import write_atomically
from lossearch.reading import parse_json, read_text

Verdict = Literal["win", "no difference", "defeat", "failed"]

_AGAIN = "run the experiment again"


class _Part(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Judged(_Part):
    """One loss on the test split; see `lossearch.comparison.result.Row`.

    Attributes:
        formula: text form, at the tuned parameters.
        wins: on which share of the paired seeds it is better than the reference; ties count half. None where there is
            no difference to it.
    """

    loss: str
    source: Literal["hand-designed", "discovered"]
    formula: str
    parameters: Mapping[str, float]
    learning_rate: float
    interval: ConfidenceInterval | None
    difference: PairedDifference | None
    p_holm: float | None
    better: bool | None
    wins: float | None
    at_edge: Mapping[str, str]
    others: Mapping[str, float]
    message: str


class Cost(_Part):
    """What a search took.

    Attributes:
        proposed: candidates.
        trained: candidates that passed the filters.
        trainings: with which they were scored; of the race come `race_trainings`.
        hours: of training, summed over processes. Comparing is not in it.
    """

    proposed: int
    trained: int
    trainings: int
    race_trainings: int
    hours: float


class Outcome(_Part):
    """An experiment that was run to its end.

    Attributes:
        units: how values of the metric are written.
        formula: of the discovered loss, as the search left it, and the shorter form that was read back from it, with
            how that is known to serve as well; None where nothing shorter was found.
        versions: of lossearch and torch.
    """

    name: str
    family: str
    task: str
    metric: str
    higher_is_better: bool
    units: Units
    seeds: int
    trials: int
    reference: str | None
    noise_floor: float | None
    rows: tuple[Judged, ...]
    formula: str
    shorter: str | None
    shorter_how: str | None
    complexity: int
    cost: Cost
    versions: Mapping[str, str]

    @property
    def discovered(self) -> Judged | None:
        """The loss that the search found."""
        return next((row for row in self.rows if row.source == "discovered"), None)

    @property
    def verdict(self) -> Verdict:
        """How the discovered loss stands to the best hand-designed one, at the level of the comparison."""
        found = self.discovered
        if found is None or found.interval is None:
            return "failed"
        if found.better is None:
            return "no difference"
        return "win" if found.better else "defeat"


class Found(_Part):
    """What a search found, and what it took; see `Outcome`."""

    formula: str
    shorter: str | None
    shorter_how: str | None
    complexity: int
    cost: Cost


def found_in(run: RunDirectory) -> Found:
    """The best loss of a run.

    Raises:
        UserError: the run has no loss that was trained to the end, or its archive is damaged.
    """
    with run.open_archive(read_only=True) as archive:
        best = archive.ranked(1)
        if not best or best[0].candidate.graph is None:
            raise UserError("a search that found a loss", f"none in {run.path}", "search longer")
        counts = archive.counts()
        scored = [evaluation.seconds for evaluation in archive.evaluations()]
        raced = [training.seconds for training in archive.race_trainings()]
    candidate = best[0].candidate
    shorter = shorter_of(run, candidate.key)
    return Found(
        formula=candidate.text or "",
        shorter=shorter and shorter.loss.to_text(),
        shorter_how=shorter and shorter.how,
        complexity=candidate.complexity or 0,
        cost=Cost(
            proposed=counts.candidates,
            trained=counts.accepted,
            trainings=len(scored),
            race_trainings=len(raced),
            hours=round((sum(scored) + sum(raced)) / 3600, 3),
        ),
    )


def outcome_of(experiment: Experiment, run: RunDirectory, comparison: Comparison) -> Outcome:
    """Gather what came of an experiment.

    Raises:
        UserError: as `found_in`.
    """
    found = found_in(run)
    reference = next((row.values for row in comparison.rows if row.loss == comparison.reference), ())
    sign = 1.0 if comparison.metric.higher_is_better else -1.0
    rows = [
        Judged(
            loss=row.loss,
            source=row.source,
            formula=row.formula,
            parameters=row.parameters,
            learning_rate=row.learning_rate,
            interval=row.interval,
            difference=row.difference,
            p_holm=row.p_holm,
            better=row.better,
            wins=None if row.difference is None else _wins(row.values, reference, sign),
            at_edge=dict(row.at_edge or {}),
            others=row.other_means,
            message=row.message,
        )
        for row in comparison.rows
    ]
    return Outcome(
        name=experiment.name,
        family=experiment.family,
        task=comparison.task,
        metric=comparison.metric.name,
        higher_is_better=comparison.metric.higher_is_better,
        units=Units.of(comparison.metric),
        seeds=len(comparison.seeds),
        trials=comparison.settings["budget"]["trials"],
        reference=comparison.reference,
        noise_floor=comparison.noise_floor,
        rows=tuple(rows),
        formula=found.formula,
        shorter=found.shorter,
        shorter_how=found.shorter_how,
        complexity=found.complexity,
        cost=found.cost,
        versions={name: comparison.settings[name] for name in ("lossearch", "torch")},
    )


def _wins(values: tuple[float | None, ...], reference: tuple[float | None, ...], sign: float) -> float:
    gaps = [sign * (a - b) for a, b in zip(values, reference, strict=True) if a is not None and b is not None]
    return sum(1.0 if gap > 0.0 else 0.5 if gap == 0.0 else 0.0 for gap in gaps) / len(gaps)


class TransferOutcome(_Part):
    """A search over a distribution, whose loss was compared on tasks that it did not see.

    Attributes:
        reference: the loss that gains are measured from.
        judged: name of the discovered loss.
        cells: one for each task; metrics that are fractions are given as such.
        aggregates: one for each loss, over all tasks, the best first.
        found: the loss, and what it took.
    """

    name: str
    family: str
    seeds: int
    trials: int
    reference: str
    judged: str
    cells: tuple[Cell, ...]
    aggregates: tuple[Aggregate, ...]
    found: Found
    versions: Mapping[str, str]

    @property
    def verdict(self) -> str:
        """How many tasks were won, at p < 0.05 after correction, and how many lost."""
        better = sum(cell.better is True for cell in self.cells)
        worse = sum(cell.better is False for cell in self.cells)
        return f"better than the best hand-designed loss on {better} of {len(self.cells)} tasks, worse on {worse}"


def transfer_outcome_of(experiment: Experiment, run: RunDirectory, transfer: Transfer) -> TransferOutcome:
    """Gather what came of an experiment over a distribution.

    Raises:
        UserError: as `found_in`.
    """
    settings = next(iter(transfer.comparisons.values())).settings
    return TransferOutcome(
        name=experiment.name,
        family=experiment.family,
        seeds=experiment.seeds,
        trials=settings["budget"]["trials"],
        reference=transfer.reference,
        judged=transfer.judged,
        cells=transfer.cells,
        aggregates=transfer.aggregates,
        found=found_in(run),
        versions={name: settings[name] for name in ("lossearch", "torch")},
    )


def write_outcome(outcome: Outcome | TransferOutcome, folder: Path) -> None:
    """Keep an outcome as `NAME.json`."""
    text = json.dumps(outcome.model_dump(mode="json"), indent=1, ensure_ascii=False)
    write_atomically(folder / f"{outcome.name}.json", text + "\n", _AGAIN)


def read_outcome(path: Path) -> Outcome | TransferOutcome:
    """Raises `UserError` where the file is damaged."""
    what = f"the outcome of an experiment in {path.name}"
    values = parse_json(read_text(path, what, _AGAIN), what, _AGAIN)
    kind = TransferOutcome if isinstance(values, dict) and "cells" in values else Outcome
    try:
        return kind.model_validate(values)
    except ValidationError as error:
        raise UserError(what, str(error.errors()[0]["msg"]), _AGAIN) from error
