"""Losses compared on many tasks of a distribution: each task by itself, and all together."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lossearch.comparison.aggregate import interquartile_interval, performance_profile, probability_of_improvement
from lossearch.comparison.checkpoint import AGAIN
from lossearch.comparison.compare import Progress, compare
from lossearch.comparison.comparison import Comparison
from lossearch.comparison.result import Row
from lossearch.comparison.statistics import Interval, holm
from lossearch.comparison.transfer_table import aggregate_table, cell_table, printed
from lossearch.errors import UserError
from lossearch.files import storage_errors, write_atomically
from lossearch.joint_loss import AnyLoss
from lossearch.reading import usable_path
from lossearch.tasks import TrainingConfig, build_task
from lossearch.tasks.distribution.config import DistributionConfig
from lossearch.zoo.named import hand_designed_loss

FEWEST_SEEDS = 4
"""Below them no noise floor can be estimated."""

THRESHOLDS = tuple(float(x) for x in np.linspace(-6.0, 6.0, 49))
"""Gains at which performance profiles are read."""


@dataclass(frozen=True)
class Cell:
    """One task, and how the first of the given losses fares there against the best hand-designed one.

    Attributes:
        task: its name.
        loss: the loss that was given first.
        opponent: the hand-designed loss with the best mean on the test split of this task.
        difference: loss - opponent in the metric's units over paired seeds; None where either failed.
        low, high: its interval.
        p_value: of no difference, by itself.
        p_holm: corrected for the number of tasks.
        better: whether the loss is better than this opponent; None where nothing can be said.
        gain: mean gain of the loss over the reference, in noise floors of the task.
    """

    task: str
    loss: str
    opponent: str
    difference: float | None
    low: float | None
    high: float | None
    p_value: float | None
    p_holm: float | None
    better: bool | None
    gain: float | None


@dataclass(frozen=True)
class Aggregate:
    """One loss over all tasks.

    Attributes:
        loss: its name.
        source: "hand-designed" or "discovered".
        gain: interquartile mean of gains over the reference, in noise floors, with its interval.
        worst: the smallest mean gain on a task, and
        worst_task: where.
        improvement: how likely the loss that was given first is better than this one; None for itself.
        profile: for each of `THRESHOLDS` the share of runs with a larger gain.
        failed: trainings that failed; each counts as the worst result that any loss had on that task.
    """

    loss: str
    source: str
    gain: Interval
    worst: float
    worst_task: str
    improvement: float | None
    profile: tuple[float, ...]
    failed: int


@dataclass(frozen=True)
class Transfer:
    """Losses compared on the test splits of the tasks that a distribution draws.

    Attributes:
        distribution: its name.
        part: of the distribution, that the tasks are of.
        judged: the loss that was given first.
        reference: the loss that gains are measured from.
        comparisons: by task.
        unmeasured: tasks on which the reference has no noise floor, left out of what is said of all.
    """

    distribution: str
    part: str
    judged: str
    reference: str
    comparisons: Mapping[str, Comparison]
    unmeasured: tuple[str, ...] = ()

    @cached_property
    def losses(self) -> tuple[str, ...]:
        """Names of the losses that were compared on every task, the judged one first."""
        compared = [[row.loss for row in one.rows] for one in self.comparisons.values()]
        kept = [name for name in compared[0] if all(name in names for names in compared)]
        return tuple(sorted(kept, key=lambda name: name != self.judged))

    @cached_property
    def gains(self) -> dict[str, list[list[float]]]:
        """By loss its gains `[task, seed]` over the reference, on the tasks that have a noise floor."""
        tables = [_gains(one, self.reference) for name, one in self.comparisons.items() if name not in self.unmeasured]
        return {loss: [table[loss] for table in tables] for loss in self.losses}

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """One for each task; p-values corrected over them."""
        loss, found = self.judged, list[Cell]()
        for name, one in self.comparisons.items():
            row = _row(one, loss)
            gain = None if name in self.unmeasured else float(np.mean(_gains(one, self.reference)[loss]))
            told = row.difference
            found.append(
                Cell(
                    name, loss, one.reference or "none",
                    None if told is None else told.mean,
                    None if told is None else told.interval.low,
                    None if told is None else told.interval.high,
                    None if told is None else told.p_value,
                    None, None, gain,
                )
            )  # fmt: skip
        tested = [cell for cell in found if cell.p_value is not None]
        corrected = dict(zip((c.task for c in tested), holm([c.p_value or 0.0 for c in tested]).tolist(), strict=True))
        return tuple(_judged(cell, corrected.get(cell.task), self.comparisons[cell.task]) for cell in found)

    @cached_property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """One for each loss, the best first."""
        first, names = self.judged, [name for name in self.comparisons if name not in self.unmeasured]
        if not names:
            raise UserError("tasks on which the reference has a noise floor", "none", "use more seeds, or harder tasks")
        found: list[Aggregate] = []
        for loss, table in self.gains.items():
            means = [float(np.mean(row)) for row in table]
            place = min(range(len(means)), key=means.__getitem__)
            failed = sum(
                len(one.seeds) - sum(value is not None for value in _row(one, loss).values)
                for one in self.comparisons.values()
            )
            found.append(
                Aggregate(
                    loss,
                    _row(next(iter(self.comparisons.values())), loss).source,
                    interquartile_interval(table),
                    means[place],
                    names[place],
                    None if loss == first else probability_of_improvement(self.gains[first], table),
                    tuple(performance_profile(table, THRESHOLDS)),
                    failed,
                )
            )
        return tuple(sorted(found, key=lambda one: -one.gain.mean))

    @property
    def verdict(self) -> str:
        """What it says, in a sentence."""
        better = sum(cell.better is True for cell in self.cells)
        worse = sum(cell.better is False for cell in self.cells)
        own = next(one for one in self.aggregates if one.loss == self.judged)
        others = [one for one in self.aggregates if one.loss != self.judged and one.source == "hand-designed"]
        best = others[0] if others else None
        against = f"; the best hand-designed loss over all, {best.loss}, has {_gain(best.gain)}" if best else ""
        return (
            f"{self.judged} is better than the best hand-designed loss of a task on {better} of"
            f" {len(self.cells)} tasks, worse on {worse}; its gain over {self.reference} is {_gain(own.gain)} noise"
            f" floors{against}."
        )

    def to_text(self) -> str:
        """Both tables and the verdict as plain text."""
        return f"{printed(cell_table(self))}\n{printed(aggregate_table(self))}\n{self.verdict}\n"

    def to_dict(self) -> dict[str, Any]:
        """Everything but the comparisons of each task, which have files of their own, for JSON."""
        return {
            "distribution": self.distribution,
            "part": self.part,
            "reference": self.reference,
            "verdict": self.verdict,
            "unmeasured": list(self.unmeasured),
            "cells": [asdict(cell) for cell in self.cells],
            "thresholds": list(THRESHOLDS),
            "aggregates": [asdict(one) for one in self.aggregates],
        }

    def save(self, directory: str | Path) -> None:
        """Write transfer.txt, transfer.json and transfer.png, the performance profiles."""
        from lossearch.comparison.transfer_figure import draw

        buffer = io.BytesIO()
        draw(self, THRESHOLDS).savefig(buffer, format="png", dpi=150)
        for name, content in (
            ("transfer.txt", self.to_text()),
            ("transfer.json", json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n"),
            ("transfer.png", buffer.getvalue()),
        ):
            write_atomically(usable_path(Path(directory) / name, "a place to write to"), content, AGAIN)

    def __str__(self) -> str:
        return self.to_text()


def compare_across(
    distribution: DistributionConfig,
    losses: Sequence[AnyLoss | str],
    seeds: int | Sequence[int] = 10,
    *,
    baselines: bool | Sequence[AnyLoss | str] = True,
    out: str | Path | None = None,
    progress: Callable[[str, Progress], None] | None = None,
    **details: Any,
) -> Transfer:
    """Compare losses on each task that a distribution draws, on its sealed test split, and over all tasks.

    Args:
        distribution: its `part` says which tasks; `boundary` which axes are crossed.
        losses: to be compared, at least one; the first is the one that is judged.
        seeds: number of paired seeds, at least four, or the seeds themselves.
        baselines: as of `lossearch.comparison.compare`.
        out: directory that keeps the comparison of every task in a folder of its own and, in the end, transfer.txt,
            transfer.json and transfer.png; an interrupted one goes on from there.
        progress: called with the task's name when a loss has been tuned or tested.
        details: of `compare`.

    Raises:
        UserError: as `compare`, no loss, or fewer than four seeds.
    """
    count = seeds if isinstance(seeds, int) else len(seeds)
    if not losses or count < FEWEST_SEEDS:
        found = f"{len(losses)} losses, {count} seeds"
        raise UserError(f"a loss to judge and at least {FEWEST_SEEDS} seeds", found, "give more")
    if out is not None:
        folder = usable_path(out, "a directory for the comparisons")
        with storage_errors(folder):
            folder.mkdir(parents=True, exist_ok=True)
    comparisons: dict[str, Comparison] = {}
    drawn = distribution.drawn()
    reference = _reference(distribution, drawn[0])
    for task in drawn:
        told = None if progress is None else _named(progress, task.name)
        place = None if out is None else Path(out) / task.name
        comparisons[task.name] = compare(task, losses, seeds, baselines=baselines, out=place, progress=told, **details)
    found = transfer(distribution, comparisons, _loss_name(losses[0]), reference)
    if out is not None:
        found.save(out)
    return found


def transfer(
    distribution: DistributionConfig, comparisons: Mapping[str, Comparison], judged: str, reference: str
) -> Transfer:
    """What comparisons of one loss, `judged`, on the tasks of a distribution say together.

    Gains are measured from `reference`, or where that was not compared from the best hand-designed loss of the first
    task.
    """
    first = next(iter(comparisons.values()))
    rows = [row for row in first.rows if row.source == "hand-designed"] or list(first.rows)
    reference = next((row.loss for row in rows if row.loss == reference), rows[0].loss)
    unmeasured = tuple(name for name, one in comparisons.items() if not (_row(one, reference).noise_floor or 0.0) > 0.0)
    return Transfer(distribution.name, distribution.part, judged, reference, dict(comparisons), unmeasured)


def _reference(distribution: DistributionConfig, task: TrainingConfig) -> str:
    """The loss that gains are measured from: the first of the panel, or else the default of the slot."""
    if distribution.panel:
        return _loss_name(distribution.panel[0])
    built = build_task(task)
    return _loss_name(built.slots[built.searched[0]].default)


def _loss_name(loss: AnyLoss | str) -> str:
    """As comparisons call a loss."""
    return hand_designed_loss(loss).name if isinstance(loss, str) else loss.name


def _named(progress: Callable[[str, Progress], None], name: str) -> Callable[[Progress], None]:
    return lambda told: progress(name, told)


def _row(comparison: Comparison, loss: str) -> Row:
    return next(row for row in comparison.rows if row.loss == loss)


def _gains(comparison: Comparison, reference: str) -> dict[str, list[float]]:
    """By loss the difference to the reference with the same seed, in its noise floors.

    A training that failed counts as the worst result of any loss.
    """
    sign = 1.0 if comparison.metric.higher_is_better else -1.0
    floor = _row(comparison, reference).noise_floor or math.nan
    known = [sign * value for row in comparison.rows for value in row.values if value is not None]
    worst, n = min(known), len(comparison.seeds)
    signed = {
        row.loss: [worst if value is None else sign * value for value in row.values or (None,) * n]
        for row in comparison.rows
    }
    return {
        loss: [(value - other) / floor for value, other in zip(values, signed[reference], strict=True)]
        for loss, values in signed.items()
    }


def _judged(cell: Cell, corrected: float | None, comparison: Comparison) -> Cell:
    if corrected is None or cell.difference is None:
        return cell
    better = (cell.difference > 0) == comparison.metric.higher_is_better if corrected <= 0.05 else None
    return Cell(**{**asdict(cell), "p_holm": corrected, "better": better})


def _gain(interval: Interval) -> str:
    return f"{interval.mean:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"
