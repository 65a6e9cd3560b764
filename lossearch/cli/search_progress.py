"""How far a search is: a live display on a terminal, a line now and then elsewhere."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.live import Live
from rich.table import Table
from rich.text import Text

from lossearch.cli.output import console, note, short

if TYPE_CHECKING:
    from lossearch.engine.config import SearchConfig
    from lossearch.engine.progress import FrontPoint, Progress

EVERY = 15.0
"""Seconds between two lines where nobody looks; a better loss is told at once."""

SHOWN = 8
"""Losses of the front that the live display shows, the best ones."""


class TimeLeft:
    """What remains of a search, from how fast it came nearer to its limits in this session."""

    def __init__(self, config: SearchConfig) -> None:
        self._config = config
        self._start: tuple[float, float] | None = None

    def __call__(self, progress: Progress) -> float | None:
        """Seconds left, roughly; None while there is nothing to judge by."""
        done = self.done(progress)
        if self._start is None:
            self._start = done, progress.seconds
        gained, passed = done - self._start[0], progress.seconds - self._start[1]
        return None if gained <= 0.0 else max(0.0, 1.0 - done) * passed / gained

    def done(self, progress: Progress) -> float:
        """Share of the search that is done, by the limit that it is nearest to."""
        config, islands = self._config, progress.islands.values()
        shares = [0.0]
        if config.generations and islands:
            shares.append(sum(report.generation + 1 for report in islands) / (config.generations * len(islands)))
        if config.max_candidates:
            shares.append(progress.candidates / config.max_candidates)
        if config.time_limit_s and islands:
            shares.append(max(report.wall_seconds for report in islands) / config.time_limit_s)
        return min(1.0, max(shares))


def facts(progress: Progress, left: float | None) -> dict[str, str]:
    """What both displays say, by heading."""
    said = {
        "time": f"{duration(progress.seconds)}" + ("" if left is None else f", about {duration(left)} left"),
        "candidates": f"{progress.candidates} ({progress.rate:.0f} a second), {progress.trained} trained"
        + (f", {progress.failed} failed" if progress.failed else ""),
    }
    if progress.rejected:
        said["rejected"] = ", ".join(f"{name} {count}" for name, count in progress.rejected.items())
    if progress.best is not None:
        said["best"] = f"{short(progress.best.metric)} at complexity {progress.best.complexity}"
        said["front"] = f"{len(progress.front)} losses"
    return said


def duration(seconds: float) -> str:
    """Seconds as `12 s`, `3 min 05 s` or `2 h 07 min`."""
    whole = round(seconds)
    if whole < 60:
        return f"{whole} s"
    minutes, rest = divmod(whole, 60)
    return f"{minutes} min {rest:02d} s" if minutes < 60 else f"{minutes // 60} h {minutes % 60:02d} min"


@contextmanager
def search_progress(config: SearchConfig) -> Iterator[Callable[[Progress], None]]:
    """What a search calls now and then with how it stands."""
    left = TimeLeft(config)
    if not sys.stderr.isatty():
        yield Lines(left)
        return
    with Live(console=console(sys.stderr), refresh_per_second=4, transient=True) as live:
        yield lambda progress: live.update(live_view(progress, left(progress)))


class Lines:
    """Writes a line when the best loss changes, and otherwise every so often."""

    def __init__(self, left: Callable[[Progress], float | None]) -> None:
        self._left = left
        self._best: FrontPoint | None = None
        self._last = -EVERY

    def __call__(self, progress: Progress) -> None:
        now, left = time.monotonic(), self._left(progress)
        if progress.best == self._best and now - self._last < EVERY:
            return
        self._best, self._last = progress.best, now
        note("; ".join(f"{heading} {value}" for heading, value in facts(progress, left).items()))


def live_view(progress: Progress, left: float | None) -> RenderableType:
    """The facts, and the best losses of the front."""
    grid = Table.grid(padding=(0, 2))
    for heading, value in facts(progress, left).items():
        grid.add_row(Text(heading, style="bold"), Text(value))
    table = Table("complexity", "metric", "formula", box=box.SIMPLE_HEAD, pad_edge=False)
    for point in reversed(progress.front[-SHOWN:]):
        formula = Text(point.text, no_wrap=True, overflow="ellipsis")
        table.add_row(str(point.complexity), short(point.metric), formula)
    return Group(grid, table) if progress.front else grid
