"""Showing how a search stands: a live panel on a terminal, plain lines elsewhere."""

from __future__ import annotations

import logging
import os
import sys
import time
from collections.abc import Callable
from typing import Protocol, Self, TextIO, cast

from rich.console import Console, Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lossearch.engine.driver.streams import LastingStream
from lossearch.engine.setup.config import SearchConfig
from lossearch.engine.writer.messages import GenerationReport
from lossearch.engine.writer.progress import Progress

_LOG = logging.getLogger(__name__)
_LINE_SECONDS = 15.0  # between plain lines
_LONGEST_FORMULA = 100
_TABLE_ROWS = 2  # of a table's heading, and the one in which the cursor waits


class Display(Protocol):
    """Shows progress between `__enter__` and `__exit__`."""

    def __enter__(self) -> Self: ...
    def __exit__(self, *_: object) -> None: ...
    def update(self, progress: Progress, /) -> None:
        """Show how the search stands now; called about once a second."""
        ...

    def note(self, text: str, /) -> None:
        """Say something once, such as that an island was lost."""
        ...


def seconds_left(config: SearchConfig, progress: Progress) -> float | None:
    """How long the search goes on, by its limits and its pace so far; None while nothing can be said."""
    # A report is as old as the generation that is under way: what passed since is spent, too.
    walls = {
        island: report.wall_seconds + progress.ages.get(island, 0.0) for island, report in progress.islands.items()
    }
    left: list[float] = []
    if config.time_limit_s is not None:
        left.append(config.time_limit_s - max(progress.seconds, *walls.values(), 0.0))
    if config.generations is not None and any(report.wall_seconds > 0.0 for report in progress.islands.values()):
        left.append(
            max(
                _generations_left(config.generations, report, progress.ages.get(island, 0.0))
                for island, report in progress.islands.items()
            )
        )
    if config.max_candidates is not None and progress.rate > 0.0:
        left.append((config.max_candidates - progress.candidates) / progress.rate)
    return max(0.0, min(left)) if left else None


def _generations_left(generations: int, report: GenerationReport, age: float) -> float:
    """Seconds that an island's other generations take at its pace, less those since its last report."""
    done = report.generation + 1
    return report.wall_seconds / done * (generations - done) - age if done < generations else 0.0


class PlainDisplay:
    """One line every quarter of a minute, and one at the end.

    Args:
        config: of the search.
        metric: its name.
        stream: where to.
    """

    def __init__(self, config: SearchConfig, metric: str, stream: TextIO) -> None:
        self._config, self._metric, self._stream = config, metric, stream
        self._last: Progress | None = None
        self._shown_at = time.monotonic()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        if self._last is not None:
            self._print(self._last)

    def update(self, progress: Progress, /) -> None:
        """Print a line if it is time to."""
        self._last = progress
        if time.monotonic() - self._shown_at >= _LINE_SECONDS:
            self._shown_at = time.monotonic()
            self._print(progress)

    def note(self, text: str, /) -> None:
        """Print it."""
        print(text, file=self._stream, flush=True)

    def _print(self, progress: Progress) -> None:
        best = "-" if progress.best is None else f"{progress.best.metric:.4f}"
        left = seconds_left(self._config, progress)
        print(
            f"{clock(progress.seconds)}  {progress.candidates} candidates ({progress.rate:.1f}/s),"
            f" {progress.trained} trained, best {self._metric} {best}, front {len(progress.front)},"
            f" left {'?' if left is None else clock(left)}; rejected by {_rejections(progress, ', ')}",
            file=self._stream,
            flush=True,
        )


class LiveDisplay:
    """A panel that is redrawn in place.

    Args:
        config: of the search.
        metric: its name.
        console: where to.
    """

    def __init__(self, config: SearchConfig, metric: str, console: Console) -> None:
        self._config, self._metric, self._console = config, metric, console
        self._live = Live(
            Text("starting …"), console=console, refresh_per_second=2, redirect_stdout=False, redirect_stderr=False
        )

    def __enter__(self) -> Self:
        self._live.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._live.stop()

    def update(self, progress: Progress, /) -> None:
        """Redraw the panel."""
        self._live.update(self.panel(progress))

    def note(self, text: str, /) -> None:
        """Print it above the panel, where it stays."""
        self._console.print(Text(text))

    def panel(self, progress: Progress) -> RenderableType:
        """Head, best loss, rejections, and as much of the front as fits below them: its best end."""
        left = seconds_left(self._config, progress)
        head = Text(
            f"{clock(progress.seconds)} elapsed, {'?' if left is None else clock(left)} left   "
            f"{progress.candidates} candidates, {progress.rate:.1f}/s   {progress.trained} trained"
            f" ({progress.failed} trainings failed)"
        )
        best = Text(_best(progress, self._metric), style="bold")
        rejected = Text(f"rejected by  {_rejections(progress, '  ')}", style="dim")
        above = [head, best, rejected]
        for line in above:
            line.truncate(self._console.width, overflow="ellipsis")  # one row each, so that the rest can be counted
        rows = max(1, self._console.height - len(above) - _TABLE_ROWS)
        return Group(*above, self._front(progress, rows))

    def _front(self, progress: Progress, rows: int) -> RenderableType:
        front = Table(box=None, pad_edge=False)
        for heading in ("complexity", self._metric):
            front.add_column(Text(heading), no_wrap=True, min_width=len(heading))
        front.add_column("loss", no_wrap=True, overflow="ellipsis")
        for point in progress.front[-rows:]:  # in order of complexity, so the best come last
            style = "bold" if point is progress.best else ""
            front.add_row(str(point.complexity), f"{point.metric:.4f}", Text(_shortened(point.text)), style=style)
        return front


def make_display(config: SearchConfig, metric: str, stream: TextIO | None = None) -> Display:
    """A live panel if `stream` (standard error) is a terminal that can redraw, else plain lines.

    Colours and styles are left out where the variable NO_COLOR is set.
    """
    target = cast(TextIO, LastingStream(sys.stderr if stream is None else stream))
    console = Console(file=target, no_color="NO_COLOR" in os.environ, highlight=False)
    if console.is_terminal and not console.is_dumb_terminal:
        return LiveDisplay(config, metric, console)
    return PlainDisplay(config, metric, target)


class CallbackDisplay:
    """Hands progress to a function instead of showing it."""

    def __init__(self, callback: Callable[[Progress], None]) -> None:
        self._callback = callback

    def update(self, progress: Progress, /) -> None:
        """Call the function."""
        self._callback(progress)

    def note(self, text: str, /) -> None:
        """Write it into the log: the function is for progress alone."""
        _LOG.warning("%s", text)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        return None


def _best(progress: Progress, metric: str) -> str:
    """The best loss in one line."""
    best = progress.best
    if best is None:
        return f"best {metric}  -"
    return f"best {metric}  {best.metric:.4f}  complexity {best.complexity}  {_shortened(best.text)}"


def _rejections(progress: Progress, separator: str) -> str:
    """How many candidates each filter rejected."""
    return separator.join(f"{name} {count}" for name, count in sorted(progress.rejected.items())) or "-"


def clock(seconds: float) -> str:
    """Minutes and seconds, and hours where there are any."""
    minutes, rest = divmod(int(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"


def _shortened(text: str) -> str:
    body = text.partition(": ")[2] or text
    return body if len(body) <= _LONGEST_FORMULA else body[: _LONGEST_FORMULA - 1] + "…"
