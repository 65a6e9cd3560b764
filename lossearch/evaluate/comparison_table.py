"""A comparison as a table for terminals and text files, and as CSV."""

from __future__ import annotations

import csv
import io
from collections.abc import Mapping
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table

from lossearch.evaluate.comparison_verdict import Units, p_text

if TYPE_CHECKING:
    from lossearch.evaluate.comparison import Comparison, Row

COLUMNS: tuple[str, ...] = (
    "loss", "source", "origin", "parameters", "learning_rate", "validation", "test_mean", "test_low", "test_high",
    "difference", "difference_low", "difference_high", "p_value", "p_holm", "better", "noise_floor", "at_edge",
    "seeds", "message", "formula",
)  # fmt: skip
"""Of the CSV. Metrics are in the metric's own units; differences are loss minus reference, on test data."""

_NONE = "-"


def make_table(comparison: Comparison) -> Table:
    """One line per loss, and one for the reference with other seeds."""
    units = Units.of(comparison.metric)
    heading = f"{comparison.metric.name}{units.label}"
    direction = "higher" if comparison.metric.higher_is_better else "lower"
    table = Table(
        title=f"{comparison.task}: test {heading}, {direction} is better, {len(comparison.seeds)} paired seeds",
        box=box.SIMPLE_HEAD,
        title_justify="left",
        pad_edge=False,
    )
    for name in ("loss", "source", "tuned parameters"):
        table.add_column(name)
    table.add_column("learning rate", justify="right")
    table.add_column("validation", justify="right")
    table.add_column("test", justify="right")
    table.add_column("95 % interval" if _confidence(comparison) == 0.95 else "interval")
    table.add_column(f"minus {comparison.reference or 'reference'}", justify="right")
    table.add_column("interval")
    table.add_column("p (Holm)", justify="right")
    table.add_column("at edge")
    for row in comparison.rows:
        table.add_row(*_cells(row, comparison.reference, units), style="bold" if row.source == "discovered" else None)
    if comparison.noise_floor is not None:
        floor = f"±{units.value(comparison.noise_floor)}"
        blank = [""] * 6
        table.add_row("noise floor", *blank, floor, f"{comparison.reference}, other seeds", "", "", style="dim")
    return table


def _confidence(comparison: Comparison) -> float | None:
    return next((row.interval.confidence for row in comparison.rows if row.interval is not None), None)


def _cells(row: Row, reference: str | None, units: Units) -> list[str]:
    settings = [
        row.loss,
        row.source,
        joined(row.parameters) or _NONE,
        f"{row.learning_rate:.3g}",
        _NONE if row.validation is None else units.value(row.validation),
    ]
    if row.interval is None:
        return [*settings, "failed", _first_line(row.message), _NONE, "", _NONE, _edges(row)]
    test = [units.value(row.interval.mean), units.interval(row.interval)]
    if row.difference is None:
        compared = ["reference" if row.loss == reference else _NONE, "", _NONE]
    else:
        interval = units.signed_interval(row.difference.interval)
        p_holm = _NONE if row.p_holm is None else p_text(row.p_holm)
        compared = [units.difference(row.difference.mean), interval, p_holm]
    return [*settings, *test, *compared, _edges(row)]


def _edges(row: Row) -> str:
    return ", ".join(f"{name} {side}" for name, side in (row.at_edge or {}).items()) or _NONE


def _first_line(message: str) -> str:
    lines = message.strip().splitlines()
    return lines[0] if lines else ""


def joined(parameters: Mapping[str, float]) -> str:
    """Parameters as they are given to a loss by name."""
    return ", ".join(f"{name}={value:.3g}" for name, value in parameters.items())


def table_text(comparison: Comparison) -> str:
    """Table and verdict without colours, as wide as they need to be."""
    buffer = io.StringIO()
    console = Console(file=buffer, width=400, color_system=None, force_terminal=False, legacy_windows=False)
    console.print(make_table(comparison))
    lines = [line.rstrip() for line in buffer.getvalue().splitlines()]
    return "\n".join([*lines, comparison.verdict]) + "\n"


def csv_text(comparison: Comparison) -> str:
    """One line per loss under a header of `COLUMNS`; what is not known is empty."""
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\n")
    writer.writeheader()
    for row in comparison.rows:
        writer.writerow(_record(row, comparison))
    return buffer.getvalue()


def _record(row: Row, comparison: Comparison) -> dict[str, object]:
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
        "seeds": len(comparison.seeds),
        "message": _first_line(row.message),
        "formula": row.formula,
    }
