"""What a comparison over many tasks found, as two tables: by task, and by loss over all."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossearch.comparison.verdict import Units, p_text

if TYPE_CHECKING:
    from lossearch.comparison.transfer import Transfer

_WIDEST = 400  # characters: more than a table needs
_NONE = "-"


def cell_table(transfer: Transfer) -> Table:
    """One line per task: the first loss against the hand-designed one that does best there."""
    title = f"{transfer.distribution}, part {transfer.part}: {transfer.judged} on the test split of each task"
    table = _table(title)
    for name in ("task", "metric", "best hand-designed"):
        table.add_column(name, overflow="fold")
    for name in ("difference [interval]", "p (Holm)", "better", "gain"):
        table.add_column(Text(name), justify="right")
    for cell in transfer.cells:
        metric = transfer.comparisons[cell.task].metric
        units = Units.of(metric)
        difference = _NONE
        if cell.difference is not None and cell.low is not None and cell.high is not None:
            shown = map(units.difference, (cell.difference, cell.low, cell.high))
            difference = "{} [{}, {}]".format(*shown)
        table.add_row(
            Text(cell.task),
            f"{metric.name}{units.label}",
            Text(cell.opponent or _NONE),
            Text(difference),
            _NONE if cell.p_holm is None else p_text(cell.p_holm),
            {True: "yes", False: "worse", None: "no"}[cell.better],
            _NONE if cell.gain is None else f"{cell.gain:+.2f}",
        )
    return table


def aggregate_table(transfer: Transfer) -> Table:
    """One line per loss over all tasks, the best first."""
    count = len(transfer.comparisons) - len(transfer.unmeasured)
    table = _table(f"over {count} tasks: gain over {transfer.reference} in noise floors of each task, of 8 seeds")
    for name in ("loss", "source"):
        table.add_column(name, overflow="fold")
    for name in ("interquartile mean [interval]", "worst task", f"P({transfer.judged} better)", "failed"):
        table.add_column(Text(name), justify="right")
    for one in transfer.aggregates:
        gain = f"{one.gain.mean:+.2f} [{one.gain.low:+.2f}, {one.gain.high:+.2f}]"
        table.add_row(
            Text(one.loss),
            one.source,
            Text(gain),
            Text(f"{one.worst:+.2f} {one.worst_task}"),
            _NONE if one.improvement is None else f"{one.improvement:.0%}",
            str(one.failed),
            style="bold" if one.source == "discovered" else None,
        )
    return table


def printed(table: Table) -> str:
    """The table as plain text."""
    buffer = io.StringIO()
    Console(file=buffer, width=_WIDEST, no_color=True, force_terminal=False).print(table)
    return "\n".join(line.rstrip() for line in buffer.getvalue().splitlines())


def _table(title: str) -> Table:
    return Table(
        title=Text(title, style="table.title"),
        box=box.SIMPLE_HEAD,
        padding=(0, 1, 0, 0),
        title_justify="left",
    )
