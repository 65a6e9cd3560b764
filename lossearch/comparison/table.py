"""A comparison as a table for terminals and text files, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossearch.comparison.verdict import Units, p_text, verdict
from lossearch.plain_text import csv_cell, visible

if TYPE_CHECKING:
    from lossearch.comparison.result import Result, Row
    from lossearch.comparison.tuning_space import Edge

COLUMNS: tuple[str, ...] = (
    "loss", "source", "origin", "parameters", "learning_rate", "validation", "test_mean", "test_low", "test_high",
    "difference", "difference_low", "difference_high", "p_value", "p_holm", "better", "noise_floor", "at_edge",
    "seeds", "message", "formula", "others",
)  # fmt: skip
"""Of the CSV. Metrics are in the metric's own units; differences are loss minus reference, on test data. `others` are
the test means of metrics besides the ranking one."""

_NONE = "-"
_NARROW = 11
"""Columns of a further metric."""

_WIDEST = 400  # characters: more than a table needs
_MARKS = {"low": "↓", "high": "↑"}


def make_table(result: Result) -> Table:
    """One line per loss, and one for the reference against itself with other seeds. Arrows mark edges."""
    units = Units.of(result.metric)
    table = Table(
        title=Text(_title(result, units), style="table.title"),  # a Text, so that no part of a name is read as an emoji
        caption=_caption(result),
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title_justify="left",
        caption_justify="left",
    )
    for name in ("loss", "source", "tuned parameters"):
        table.add_column(name, overflow="fold")
    for name in ("learning rate", "validation"):
        table.add_column(name, justify="right")
    for name in ("test [interval]", "difference"):
        table.add_column(Text(name))
    table.add_column("p (Holm)", justify="right")
    others = list(dict.fromkeys(name for row in result.rows for name in row.others))
    for name in others:
        # Words of a long name under each other: the numbers below are narrow.
        table.add_column(Text(f"test {visible(name)}".replace("_", " ")), justify="right", max_width=_NARROW)
    for row in result.rows:
        means = row.other_means
        further = [f"{means[name]:.4g}" if name in means else _NONE for name in others]
        # As Text, so that brackets are never read as markup.
        cells = map(Text, [*_cells(row, result, units), *further])
        table.add_row(*cells, style="bold" if row.source == "discovered" else None)
    if result.noise_floor is not None:
        floor = f"±{units.value(result.noise_floor)}"
        table.add_row("noise floor", "other seeds", "", "", "", "", floor, "", style="dim")
    return table


def _title(result: Result, units: Units) -> str:
    direction = "higher" if result.metric.higher_is_better else "lower"
    title = f"{result.task}: test {result.metric.name}{units.label}, {direction} is better, "
    title += f"{len(result.seeds)} paired seeds"
    interval = next((row.interval for row in result.rows if row.interval is not None), None)
    if interval is not None:
        title += f", {interval.confidence:.0%} intervals; difference to {result.reference}"
    return title


def _caption(result: Result) -> str | None:
    marked = any(row.at_edge for row in result.rows)
    return "↓ ↑: a setting at the low or high edge of its range" if marked else None


def _cells(row: Row, result: Result, units: Units) -> list[str]:
    edges = row.at_edge or {}
    parameters = [f"{name}={value:.3g}{_mark(edges, name)}" for name, value in row.parameters.items()]
    settings = [
        row.loss,
        row.source,
        ",\n".join(parameters) or _NONE,
        f"{row.learning_rate:.3g}{_mark(edges, 'learning_rate')}" if result.learning_rate_tuned else "not tuned",
        _NONE if row.validation is None else units.value(row.validation),
    ]
    if row.interval is None:
        return [*settings, f"failed: {_first_line(row.message)}"[:40], _NONE, _NONE]
    test = f"{units.value(row.interval.mean)} {units.interval(row.interval)}"
    if row.difference is None:
        return [*settings, test, "reference" if row.loss == result.reference else _NONE, _NONE]
    difference = f"{units.difference(row.difference.mean)} {units.signed_interval(row.difference.interval)}"
    return [*settings, test, difference, _NONE if row.p_holm is None else p_text(row.p_holm)]


def _mark(edges: Mapping[str, Edge], name: str) -> str:
    return _MARKS[edges[name]] if name in edges else ""


def _first_line(message: str) -> str:
    lines = message.strip().splitlines()
    return lines[0] if lines else ""


def joined(parameters: Mapping[str, float]) -> str:
    """Parameters as they are given to a loss by name."""
    return ", ".join(f"{name}={value:.3g}" for name, value in parameters.items())


def table_text(result: Result) -> str:
    """Table and verdict without colours."""
    buffer = io.StringIO()
    console = Console(file=buffer, width=_WIDEST, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(make_table(result))
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    return "\n".join([*lines, verdict(result)]) + "\n"


def csv_text(result: Result) -> str:
    """One line per loss under a header of `COLUMNS`; what is not known is empty."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in result.rows:
        record = _record(row, result)
        writer.writerow({key: csv_cell(visible(v)) if isinstance(v, str) else v for key, v in record.items()})
    return buffer.getvalue()


SHOWN = (
    "loss",
    "source",
    "test_mean",
    "test_low",
    "test_high",
    "difference",
    "p_holm",
    "better",
    "parameters",
    "formula",
)
"""What a notebook shows of `COLUMNS`."""


def table_rows(result: Result) -> list[dict[str, object]]:
    """One mapping per loss with the values of `COLUMNS`."""
    return [_record(row, result) for row in result.rows]


def _record(row: Row, result: Result) -> dict[str, object]:
    test, difference = row.interval, row.difference
    gap = None if difference is None else difference.interval
    return {
        "loss": row.loss,
        "source": row.source,
        "origin": row.origin,
        "parameters": joined(row.parameters),
        "learning_rate": row.learning_rate,
        "validation": row.validation,
        "test_mean": test and test.mean,
        "test_low": test and test.low,
        "test_high": test and test.high,
        "difference": gap and gap.mean,
        "difference_low": gap and gap.low,
        "difference_high": gap and gap.high,
        "p_value": difference and difference.p_value,
        "p_holm": row.p_holm,
        "better": row.better,
        "noise_floor": row.noise_floor,
        "at_edge": " ".join(f"{name}:{side}" for name, side in (row.at_edge or {}).items()),
        "seeds": len(result.seeds),
        "message": _first_line(row.message),
        "formula": row.formula,
        "others": ", ".join(f"{name}={value!r}" for name, value in row.other_means.items()),
    }
