"""From measured values to a comparison: reference, intervals, paired tests, order."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from lossearch.comparison import statistics
from lossearch.comparison.comparison import Comparison
from lossearch.comparison.result import Compared, Row
from lossearch.tasks.base import Metric


def assemble(
    task: str,
    metric: Metric,
    compared: Sequence[Compared],
    seeds: tuple[int, ...],
    settings: Mapping[str, Any],
    confidence: float,
) -> Comparison:
    """Statistics over what was measured on the task of this name."""
    higher = metric.higher_is_better
    values = {one.name: one.sound for one in compared if one.sound}
    means = {name: sum(sound) / len(sound) for name, sound in values.items()}
    bars = [one.name for one in compared if one.name in means and one.source == "hand-designed"] or list(means)
    reference = (max if higher else min)(bars, key=means.__getitem__) if bars else None
    found: dict[str, statistics.PairedComparison] = {}
    if reference is not None:
        results = statistics.compare(values, reference, higher_is_better=higher, confidence=confidence)
        found = {result.loss: result for result in results}
    rows = [_row(one, metric, found.get(one.name)) for one in compared]
    order = {name: index for index, name in enumerate(found)}
    rows.sort(key=lambda row: order.get(row.loss, len(order)))
    tuned = {one.name: one.tuned for one in compared}
    return Comparison(task, metric, seeds, reference, tuple(rows), tuned, {**settings, "confidence": confidence})


def _row(one: Compared, metric: Metric, found: statistics.PairedComparison | None) -> Row:
    tuned = one.tuned
    row = Row(
        loss=one.name,
        source=one.source,
        origin=tuned.loss.source,
        formula=tuned.loss.to_text(),
        parameters=dict(tuned.setting.parameters),
        learning_rate=tuned.learning_rate,
        validation=tuned.validation,
        values=one.values,
        at_edge=dict(tuned.at_edge),
        message=one.message,
        others=one.others(metric.name),
        relative_rate=tuned.setting.learning_rate,
    )
    if found is None:
        return row
    return replace(
        row,
        interval=found.interval,
        difference=found.difference,
        p_holm=found.p_holm,
        better=found.better,
        noise_floor=found.noise_floor,
    )
