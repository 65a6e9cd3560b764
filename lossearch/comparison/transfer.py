"""Losses compared on many tasks of a distribution: each task by itself, and all together."""

from __future__ import annotations

import io
import json
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np

from lossearch.comparison.aggregate import interquartile_interval, performance_profile, probability_of_improvement
from lossearch.comparison.checkpoint import AGAIN
from lossearch.comparison.compare import ComparisonProgress, compare
from lossearch.comparison.comparison import Comparison
from lossearch.comparison.entries import default_losses
from lossearch.comparison.result import Row
from lossearch.comparison.statistics import ConfidenceInterval, holm, paired_difference
from lossearch.comparison.transfer_table import aggregate_table, cell_table, printed
from lossearch.errors import UserError
from lossearch.files import storage_errors, write_atomically
from lossearch.joint_loss import AnyLoss
from lossearch.reading import usable_path
from lossearch.tasks.base import require
from lossearch.tasks.described import DescribedTask
from lossearch.tasks.distribution.config import DistributionConfig
from lossearch.tasks.distribution.task import DistributionTask
from lossearch.zoo.named import hand_designed_loss

FEWEST_SEEDS = 4
"""Below them no noise floor can be estimated."""

GAIN_SEEDS = 8
"""Gains are told in noise floors of so many seeds, as in a search, however many are compared with."""

THRESHOLDS = tuple(float(x) for x in np.linspace(-6.0, 6.0, 49))
"""Gains at which performance profiles are read."""


@dataclass(frozen=True)
class Cell:
    """One task, and how the first of the given losses fares there against the best hand-designed one.

    Attributes:
        task: its name.
        loss: the loss that was given first.
        opponent: the hand-designed loss with the best mean on the test split of this task, other than the judged one;
            None where no other was compared.
        difference: loss - opponent in the metric's units over paired seeds; None where either failed.
        low, high: its interval.
        p_value: of no difference, by itself.
        p_holm: corrected for the number of tasks.
        better: whether the loss is better than this opponent; None where nothing can be said.
        gain: mean gain of the loss over the reference, in noise floors of the task.
    """

    task: str
    loss: str
    opponent: str | None
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
    gain: ConfidenceInterval
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
        judged: the loss that was given first, as the first comparison calls it.
        reference: the loss that gains are measured from.
        comparisons: by task.
        unmeasured: tasks on which the reference has no noise floor, left out of what is said of all.
        confidence: of intervals; 1 - confidence is the level of the tests.
        boundary, tasks, draw_seed: of the distribution, which say with the part which tasks were drawn.
    """

    distribution: str
    part: str
    judged: str
    reference: str
    comparisons: Mapping[str, Comparison]
    unmeasured: tuple[str, ...] = ()
    confidence: float = 0.95
    boundary: tuple[str, ...] | None = None
    tasks: int = 0
    draw_seed: int = 0

    @cached_property
    def losses(self) -> tuple[str, ...]:
        """Names of the losses that were compared on every task, the judged one first."""
        compared = [self._rows(one) for one in self.comparisons.values()]
        kept = [name for name in compared[0] if all(name in rows for rows in compared)]
        return tuple(sorted(kept, key=lambda name: name != self.judged))

    @cached_property
    def gains(self) -> dict[str, list[list[float]]]:
        """By loss its gains `[task, seed]` over the reference, on the tasks that have a noise floor."""
        tables = [self._gains(one) for name, one in self.comparisons.items() if name not in self.unmeasured]
        return {loss: [table[loss] for table in tables] for loss in self.losses}

    @cached_property
    def cells(self) -> tuple[Cell, ...]:
        """One for each task; p-values corrected over them."""
        found = {name: self._cell(name, one) for name, one in self.comparisons.items()}
        p_values = {name: cell.p_value for name, cell in found.items() if cell.p_value is not None}
        corrected = dict(zip(p_values, holm(list(p_values.values())).tolist(), strict=True))
        return tuple(_judged(cell, corrected.get(name), self.comparisons[name]) for name, cell in found.items())

    def _cell(self, name: str, comparison: Comparison) -> Cell:
        rows = self._rows(comparison)
        row = rows[self.judged]
        gain = None if name in self.unmeasured else float(np.mean(self._gains(comparison)[self.judged]))
        others = [(other, one) for other, one in rows.items() if one.source == "hand-designed" and one is not row]
        cell = Cell(name, self.judged, others[0][0] if others else None, None, None, None, None, None, None, gain)
        if not others or row.interval is None or others[0][1].interval is None:
            failed = bool(others) and row.interval is None and others[0][1].interval is not None
            return replace(cell, better=False if failed else None)
        values = ([value for value in one.values if value is not None] for one in (row, others[0][1]))
        told = paired_difference(*values, confidence=row.interval.confidence)
        bounds = told.interval
        p_value = told.p_value if comparison.seeds_matter else 1.0  # the seeds are one observation, as in `compare`
        return replace(cell, difference=told.mean, low=bounds.low, high=bounds.high, p_value=p_value)

    def floor_of(self, comparison: Comparison) -> float:
        """The noise floor of the reference on a task; 0 where it has none."""
        return self._rows(comparison)[self.reference].noise_floor or 0.0

    def _rows(self, comparison: Comparison) -> dict[str, Row]:
        """The rows of a comparison, best first, by what the first one calls their losses."""
        first = next(iter(self.comparisons.values()))
        names = {key: name for name, key in first.keys.items()}
        # Several names may stand for one formula: each keeps its own where the first comparison has it, too.
        called = {
            name: name if first.keys.get(name) == key else names.get(key, name) for name, key in comparison.keys.items()
        }
        return {called.get(row.loss, row.loss): row for row in comparison.rows}

    def _gains(self, comparison: Comparison) -> dict[str, list[float]]:
        """By loss the difference to the reference with the same seed, in noise floors of `GAIN_SEEDS` seeds.

        A training that failed counts as the worst possible value of the metric; where there is none, as one that is as
        far below the worst result as that is below the best.
        """
        rows, metric = self._rows(comparison), comparison.metric
        sign = 1.0 if metric.higher_is_better else -1.0
        floor = (rows[self.reference].noise_floor or math.nan) * math.sqrt(len(comparison.seeds) / GAIN_SEEDS)
        known = [sign * value for row in rows.values() for value in row.values if value is not None]
        bound = metric.lower if metric.higher_is_better else -metric.upper
        worst = bound if math.isfinite(bound) else min(known) - (max(known) - min(known))
        signed = {
            name: [worst if value is None else sign * value for value in row.values or (None,) * len(comparison.seeds)]
            for name, row in rows.items()
        }
        reference = signed[self.reference]
        return {
            name: [(value - other) / floor for value, other in zip(values, reference, strict=True)]
            for name, values in signed.items()
        }

    @cached_property
    def aggregates(self) -> tuple[Aggregate, ...]:
        """One for each loss, the best first; none where the reference has a noise floor on no task."""
        first, names = self.judged, [name for name in self.comparisons if name not in self.unmeasured]
        if not names:
            return ()
        found: list[Aggregate] = []
        for loss, table in self.gains.items():
            means = [float(np.mean(row)) for row in table]
            place = min(range(len(means)), key=means.__getitem__)
            rows = [(self._rows(one)[loss], len(one.seeds)) for one in self.comparisons.values()]
            failed = sum(n - sum(value is not None for value in row.values) for row, n in rows)
            found.append(
                Aggregate(
                    loss,
                    rows[0][0].source,
                    interquartile_interval(table, self.confidence),
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
        own = next((one for one in self.aggregates if one.loss == self.judged), None)
        others = [one for one in self.aggregates if one.loss != self.judged and one.source == "hand-designed"]
        better = sum(cell.better is True for cell in self.cells)
        worse = sum(cell.better is False for cell in self.cells)
        told = (
            f"{self.judged} is better than the best hand-designed loss of a task on {better} of"
            f" {len(self.cells)} tasks, worse on {worse}"
        )
        if own is None:
            told += (
                f"; {self.reference} gives the same with every seed on each task, so that there is no noise floor to"
                " measure gains in: use more seeds, or harder tasks."
            )
        else:
            gain = f"its gain over {self.reference} is {_gain(own.gain)} noise floors"
            if not others:
                return f"{self.judged} was compared with no hand-designed loss; {gain}."
            told += f"; {gain}; the best hand-designed loss over all, {others[0].loss}, has {_gain(others[0].gain)}."
        seeds = len(next(iter(self.comparisons.values())).seeds)
        if 2.0 ** (1 - seeds) * len(self.cells) > 1.0 - self.confidence:
            told += (
                f" With {seeds} seeds on {len(self.cells)} tasks no difference can be told from chance: use more seeds."
            )
        return told

    def to_text(self) -> str:
        """Both tables and the verdict as plain text."""
        over_all = f"{printed(aggregate_table(self))}\n" if self.aggregates else ""
        return f"{printed(cell_table(self))}\n{over_all}{self.verdict}\n"

    def to_dict(self) -> dict[str, Any]:
        """Everything but the comparisons of each task, which have files of their own, for JSON."""
        return {
            "distribution": self.distribution,
            "part": self.part,
            "boundary": None if self.boundary is None else list(self.boundary),
            "tasks": self.tasks,
            "draw_seed": self.draw_seed,
            "reference": self.reference,
            "verdict": self.verdict,
            "unmeasured": list(self.unmeasured),
            "cells": [asdict(cell) for cell in self.cells],
            "thresholds": list(THRESHOLDS),
            "aggregates": [asdict(one) for one in self.aggregates],
        }

    def save(self, directory: str | Path) -> None:
        """Write transfer.txt, transfer.json and, where gains could be measured, transfer.png: performance profiles."""
        files: dict[str, str | bytes] = {
            "transfer.txt": self.to_text(),
            "transfer.json": json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n",
        }
        if self.aggregates:
            from lossearch.comparison.transfer_figure import draw

            buffer = io.BytesIO()
            draw(self, THRESHOLDS).savefig(buffer, format="png", dpi=150)
            files["transfer.png"] = buffer.getvalue()
        for name, content in files.items():
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
    progress: Callable[[str, ComparisonProgress], None] | None = None,
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
    task = DistributionTask(distribution)  # all members are there, and their slots agree, before anything is trained
    for function in task.functions:  # what each must take, too
        require(function, "compare")
    if task.functions and details.get("steps") is not None:
        found = f"steps = {details['steps']}, with {task.functions[0].name} among the tasks"
        raise UserError(
            "no steps where training functions, with units of their own, are compared on",
            found,
            "set steps in the options of the axes",
        )
    judged, *others = losses
    reference = _reference(distribution, task)
    comparisons: dict[str, Comparison] = {}
    for member in task.members:
        told = None if progress is None else _named(progress, member.name)
        place = None if out is None else Path(out) / member.name
        given = [judged, reference, *others]
        subject, own = (member, {}) if isinstance(member, DescribedTask) else (member.config, member.called)
        comparisons[member.name] = compare(
            subject, given, seeds, baselines=baselines, out=place, progress=told, **{**details, **own}
        )
    found = transfer(distribution, comparisons, reference.key, details.get("confidence", 0.95))
    if out is not None:
        found.save(out)
    return found


def transfer(
    distribution: DistributionConfig, comparisons: Mapping[str, Comparison], reference: str, confidence: float = 0.95
) -> Transfer:
    """What comparisons on the tasks of a distribution say together of the loss that each was given first.

    Args:
        distribution: of the tasks.
        comparisons: by task; each with the reference.
        reference: key of the loss that gains are measured from.
        confidence: of intervals.
    """
    first = next(iter(comparisons.values()))
    judged = next(iter(first.keys))
    named = [name for name, key in first.keys.items() if key == reference][-1]  # not the judged loss, if it is alike
    found = Transfer(
        distribution.name,
        distribution.part,
        judged,
        named,
        dict(comparisons),
        confidence=confidence,
        boundary=distribution.boundary,
        tasks=distribution.tasks,
        draw_seed=distribution.draw_seed,
    )
    floors = {name: found.floor_of(one) for name, one in comparisons.items()}
    return replace(found, unmeasured=tuple(name for name, floor in floors.items() if not floor > 0.0))


def _reference(distribution: DistributionConfig, task: DistributionTask) -> AnyLoss:
    """The loss that gains are measured from: the first of the panel, or else the default of each slot."""
    if distribution.panel:
        return hand_designed_loss(distribution.panel[0])
    return default_losses({slot: task.slots[slot].default for slot in task.searched})


def _named(progress: Callable[[str, ComparisonProgress], None], name: str) -> Callable[[ComparisonProgress], None]:
    return lambda told: progress(name, told)


def _judged(cell: Cell, corrected: float | None, comparison: Comparison) -> Cell:
    if corrected is None or cell.difference is None:
        return cell
    level = 1.0 - comparison.settings["confidence"]
    better = (cell.difference > 0) == comparison.metric.higher_is_better if corrected <= level else None
    return replace(cell, p_holm=corrected, better=better)


def _gain(interval: ConfidenceInterval) -> str:
    return f"{interval.mean:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"
