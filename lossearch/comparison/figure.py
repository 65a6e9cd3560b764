"""A comparison as a figure: the mean of every loss with its interval, best at the top."""

from __future__ import annotations

from typing import TYPE_CHECKING

from lossearch.comparison.verdict import Units

if TYPE_CHECKING:
    from matplotlib.figure import Figure

    from lossearch.comparison.result import Result

# Two colours that stay apart for the colour-blind and in grey (Okabe and Ito 2008).
_COLOURS = {"hand-designed": "#56606b", "discovered": "#d55e00"}


def draw(result: Result) -> Figure:
    """Dots with intervals, sorted; a line at the reference with its noise floor as a band."""
    from matplotlib.figure import Figure  # takes most of a second to import

    units = Units.of(result.metric)
    rows = result.rows
    figure = Figure(figsize=(8, 1.4 + 0.32 * len(rows)), layout="constrained")
    axes = figure.subplots()
    for position, row in enumerate(rows):
        colour = _COLOURS[row.source]
        if row.interval is None:
            axes.annotate("failed", (0.01, position), xycoords=("axes fraction", "data"), va="center", color=colour)
            continue
        mean, low, high = (x * units.factor for x in (row.interval.mean, row.interval.low, row.interval.high))
        axes.plot([low, high], [position, position], color=colour, linewidth=2, solid_capstyle="round")
        axes.plot(mean, position, "o", color=colour, markersize=6)
        seeds = [value * units.factor for value in row.values if value is not None]
        axes.plot(seeds, [position] * len(seeds), "|", color=colour, markersize=7, alpha=0.35)
    reference = next((row for row in rows if row.loss == result.reference), None)
    if reference is not None and reference.interval is not None:
        mean = reference.interval.mean * units.factor
        axes.axvline(mean, color="#0072b2", linewidth=1, label=f"mean of {reference.loss}")
        if result.noise_floor is not None:
            floor = result.noise_floor * units.factor
            axes.axvspan(mean - floor, mean + floor, color="#0072b2", alpha=0.12, linewidth=0, label="its noise floor")
    for source in dict.fromkeys(row.source for row in rows):
        axes.plot([], [], "o-", color=_COLOURS[source], label=source)
    axes.set_yticks(range(len(rows)), [row.loss for row in rows])
    axes.set_ylim(len(rows) - 0.5, -0.5)
    axes.set_xlabel(
        f"test {result.metric.name}{units.label} (dot: mean, bar: interval, ticks: {len(result.seeds)} seeds)"
    )
    axes.set_title(result.task, loc="left")
    axes.grid(axis="x", color="#dddddd", linewidth=0.6)
    axes.set_axisbelow(True)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.tick_params(axis="y", length=0)
    axes.legend(loc="best", frameon=False, fontsize=8)
    return figure
