"""How far a comparison is: a bar on a terminal, a line for each finished loss elsewhere."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeElapsedColumn
from rich.progress import Progress as Bars

from lossearch.cli.output import console, note, short

if TYPE_CHECKING:
    from lossearch.comparison.compare import ComparisonProgress

PHASES = {"tune": "tuned", "test": "tested"}


@contextmanager
def comparison_progress() -> Iterator[Callable[[ComparisonProgress], None]]:
    """What `compare` calls for each finished loss."""
    if not sys.stderr.isatty():
        yield lambda progress: note(line(progress))
        return
    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
    with Bars(*columns, console=console(sys.stderr), transient=True) as bars:
        tasks = {phase: bars.add_task(f"losses {done}", total=None) for phase, done in PHASES.items()}

        def show(progress: ComparisonProgress) -> None:
            bars.update(tasks[progress.phase], completed=progress.done, total=progress.total)
            bars.console.print(line(progress))

        yield show


def line(progress: ComparisonProgress) -> str:
    """A finished loss in a line."""
    value = "failed" if progress.metric is None else short(progress.metric)
    return f"{PHASES[progress.phase]} {progress.done}/{progress.total} {progress.loss}: {value}"
