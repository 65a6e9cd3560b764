"""Interactive figures as plain plotly.js descriptions.

Colours are names of CSS variables (`--series-1`), which the page's script resolves, so that figures follow the light
and the dark scheme. Texts are escaped here, since plotly.js reads a little HTML in them.
"""

from __future__ import annotations

import html
import math
import textwrap
from collections.abc import Iterable, Sequence
from typing import Any

from lossearch.comparison.verdict import Units
from lossearch.report.comparison_file import ComparisonFile, ComparisonRow
from lossearch.report.curves import LossCurves
from lossearch.report.run_summary import RunSummary, Scored

Figure = dict[str, Any]

MOST_POINTS = 1000
"""Candidates drawn besides the front and the hand-designed losses."""

_LONGEST_FORMULA = 240
_LONGEST_FAINT_FORMULA = 90
_LINE = 60
_LABEL = 18
DASHES = ("solid", "12px 5px", "2px 4px", "9px 4px 2px 4px", "20px 6px", "14px 4px 2px 4px 2px 4px")
"""Of the curves, in their order, as plotly.js and SVG take them."""


def escape(text: str) -> str:
    """Text as plotly.js shall show it."""
    return html.escape(text, quote=False)


def front_figure(run: RunSummary) -> Figure:
    """Metric over complexity: candidates, hand-designed losses, Pareto front."""
    own = {one.ranked.candidate.key for one in (*run.drawn_front, *run.seeds)}
    rest = [one for one in run.scored if one.ranked.candidate.key not in own]
    faint = thinned(rest)
    noun = "candidates" if len(faint) == len(rest) else f"{len(faint)} of {len(rest)} candidates"
    traces = [
        _points(run, faint, noun, "--faint", "circle", 6, _LONGEST_FAINT_FORMULA) | {"opacity": 0.55},
        _points(run, run.seeds, "seeds, as they are", "--series-2", "diamond", 10),
        _points(run, run.drawn_front, "Pareto front", "--series-1", "circle", 9)
        | {"mode": "lines+markers", "line": {"shape": "hv", "width": 2, "color": "--series-1"}},
    ]
    layout = axes("complexity (operators of the formula)", metric_title(run))
    layout["yaxis"] |= tick_format(run.units)
    if (inside := focus(run)) is not None:
        layout["yaxis"]["range"] = [rounded(end) for end in inside]
    layout["hovermode"] = "closest"
    return {"data": [trace for trace in traces if trace["x"]], "layout": layout}


def thinned(points: Sequence[Scored]) -> list[Scored]:
    """At most `MOST_POINTS` of the points, evenly over their ranks."""
    if len(points) <= MOST_POINTS:
        return list(points)
    return [points[index * len(points) // MOST_POINTS] for index in range(MOST_POINTS)]


def _points(
    run: RunSummary,
    points: Iterable[Scored],
    name: str,
    colour: str,
    symbol: str,
    size: int,
    longest: int = _LONGEST_FORMULA,
) -> Figure:
    chosen = list(points)
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [one.complexity for one in chosen],
        "y": [rounded(one.metric) for one in chosen],
        "hovertext": [hover(run, one, longest) for one in chosen],
        "hoverinfo": "text",
        "marker": {"color": colour, "symbol": symbol, "size": size},
    }


def hover(run: RunSummary, one: Scored, longest: int = _LONGEST_FORMULA) -> str:
    """What is told of a candidate under the pointer."""
    rank = f"rank {one.rank}" if one.rank else "not among the best"
    head = f"<b>{escape(run.metric)} {run.shown(one.metric)}</b>, complexity {one.complexity}, {rank}"
    lines = textwrap.wrap(textwrap.shorten(one.text, longest, placeholder=" …"), _LINE) or [""]
    made = f"made by {escape(one.made_by)}" if one.made_by else ""
    return "<br>".join([head, *filter(None, [made]), *map(escape, lines)])


def course_figure(run: RunSummary) -> Figure:
    """Best score so far over trainings, beside the best hand-designed loss that the search began with."""
    end = max(run.trainings.count, run.course[-1][0])
    x = [number for number, _ in run.course] + [end]
    y = [rounded(best) for _, best in run.course] + [rounded(run.course[-1][1])]
    texts = [f"<b>{run.shown(best)}</b> after {number} trainings" for number, best in run.course]
    line: Figure = {
        "type": "scatter",
        "mode": "lines+markers",
        "name": "best so far",
        "x": x,
        "y": y,
        "hovertext": [*texts, f"<b>{run.shown(run.course[-1][1])}</b> at the end, {end} trainings"],
        "hoverinfo": "text",
        "line": {"shape": "hv", "width": 2, "color": "--series-1"},
        "marker": {"size": 5, "color": "--series-1"},
    }
    layout = axes("trainings", f"best {escape(run.metric)} so far, validation")
    layout["yaxis"] |= tick_format(run.units)
    traces = [line]
    if run.seeds:
        best = run.seeds[0]
        name = f"best seed: {escape(best.seed or '')}"
        traces.append(level(name, [0, end], best.metric, "--series-2"))
    return {"data": traces, "layout": layout}


def level(name: str, x: Sequence[float], value: float, colour: str) -> Figure:
    """A dashed line at one value."""
    return {
        "type": "scatter",
        "mode": "lines",
        "name": name,
        "x": list(x),
        "y": [rounded(value)] * len(x),
        "hoverinfo": "name",
        "line": {"dash": "dash", "width": 1.5, "color": colour},
    }


def curve_figures(curves: Sequence[LossCurves]) -> tuple[Figure, Figure]:
    """Values and gradients of losses along one slice, the first one emphasised."""
    value, gradient = axes(curves[0].axis, "loss, scaled"), axes(curves[0].axis, f"{curves[0].slope}, scaled")
    for layout in (value, gradient):
        layout["hovermode"] = "x"
        layout["showlegend"] = False  # the page has one for both
        layout["yaxis"]["zeroline"] = True
    return (
        {"data": [_curve(curve, curve.value, rank) for rank, curve in enumerate(curves)], "layout": value},
        {"data": [_curve(curve, curve.gradient, rank) for rank, curve in enumerate(curves)], "layout": gradient},
    )


def _curve(curve: LossCurves, y: Iterable[float], rank: int) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines",
        "name": escape(curve.loss if curve.scale is not None else f"{curve.loss} (not scaled)"),
        "x": [rounded(float(value)) for value in curve.x],
        "y": [rounded(float(value)) for value in y],
        "hovertemplate": "%{y:.3g}",
        "zorder": -rank,
        "line": {"width": 3 if rank == 0 else 1.75, "dash": DASHES[rank % 6], "color": f"--series-{rank % 6 + 1}"},
    }


def comparison_figure(comparison: ComparisonFile, units: Units) -> Figure:
    """Means with intervals, best at the top, values of the seeds, and the noise floor around the reference."""
    rows = comparison.trained[::-1]
    labels = [_label(row.loss) for row in rows]
    seeds: Figure = {
        "type": "scatter",
        "mode": "markers",
        "name": "one seed",
        "x": [rounded(value) for row in rows for value in row.values if value is not None],
        "y": [_label(row.loss) for row in rows for value in row.values if value is not None],
        "hovertemplate": "%{x}",
        "marker": {"color": "--faint", "size": 5, "symbol": "line-ns-open"},
        "opacity": 0.7,
    }
    own = [row for row in rows if row.source == "discovered"]
    others = [row for row in rows if row.source == "hand-designed"]
    means = (
        _means(own, "discovered", "--series-1", "circle", units),
        _means(others, "tuned hand-designed", "--series-2", "diamond", units),
    )
    layout = axes(f"test {escape(comparison.metric)}", "")
    layout["yaxis"] |= {"categoryorder": "array", "categoryarray": labels, "automargin": True, "showgrid": False}
    layout["xaxis"] |= tick_format(units)
    layout["hovermode"] = "closest"
    layout["height"] = 150 + 30 * len(rows)
    layout["shapes"] = _noise_band(comparison)
    return {"data": [trace for trace in (seeds, *means) if trace["x"]], "layout": layout}


def _means(rows: Sequence[ComparisonRow], name: str, colour: str, symbol: str, units: Units) -> Figure:
    intervals = [row.interval for row in rows if row.interval is not None]
    return {
        "type": "scatter",
        "mode": "markers",
        "name": name,
        "x": [rounded(interval.mean) for interval in intervals],
        "y": [_label(row.loss) for row in rows],
        "error_x": {
            "type": "data",
            "symmetric": False,
            "array": [rounded(interval.high - interval.mean) for interval in intervals],
            "arrayminus": [rounded(interval.mean - interval.low) for interval in intervals],
            "color": colour,
            "thickness": 2,
            "width": 5,
        },
        "hovertext": [
            f"<b>{escape(row.loss)}</b><br>{units.value(interval.mean)} {units.interval(interval)}"
            for row, interval in zip(rows, intervals, strict=True)
        ],
        "hoverinfo": "text",
        "marker": {"color": colour, "symbol": symbol, "size": 10},
    }


def _noise_band(comparison: ComparisonFile) -> list[Figure]:
    reference = next((row for row in comparison.trained if row.loss == comparison.reference), None)
    if reference is None or reference.interval is None:
        return []
    mean, floor = reference.interval.mean, comparison.noise_floor
    line = {"type": "line", "xref": "x", "yref": "paper", "x0": mean, "x1": mean, "y0": 0, "y1": 1, "layer": "below"}
    shapes: list[Figure] = [line | {"line": {"color": "--series-2", "width": 1, "dash": "dot"}}]
    if floor:
        band = {"type": "rect", "xref": "x", "yref": "paper", "x0": mean - floor, "x1": mean + floor, "y0": 0, "y1": 1}
        shapes.append(band | {"layer": "below", "line": {"width": 0}, "fillcolor": "--band"})
    return shapes


def _label(name: str) -> str:
    """A loss's name in lines short enough for a phone, broken after an underscore."""
    lines, current = [], ""
    for part in name.replace("_", "_\n").split("\n"):
        if current and len(current) + len(part) > _LABEL:
            lines.append(current)
            current = ""
        current += part
    return "<br>".join(map(escape, [*lines, current]))


def axes(x: str, y: str) -> Figure:
    """The layout of a figure with these titles."""
    return {
        "xaxis": {"title": {"text": x}, "gridcolor": "--grid", "linecolor": "--grid", "zeroline": False},
        "yaxis": {"title": {"text": y}, "gridcolor": "--grid", "zerolinecolor": "--muted", "zeroline": False},
    }


def metric_title(run: RunSummary) -> str:
    """Of an axis of the metric."""
    direction = "higher" if run.higher_is_better else "lower"
    return f"{escape(run.metric)}, validation ({direction} is better)"


def tick_format(units: Units) -> Figure:
    """How an axis of a metric writes its numbers."""
    return {"tickformat": ".3~%"} if units.factor == 100.0 else {}


def focus(run: RunSummary) -> tuple[float, float] | None:
    """A range of the metric that leaves the worst tenth of the candidates outside, where they would squeeze the rest.

    Front and hand-designed losses are always inside; None where nothing has to be left out.
    """
    ordered = sorted((one.metric for one in run.scored), reverse=run.higher_is_better)
    if len(ordered) < 20:
        return None
    kept = [ordered[0], ordered[len(ordered) * 9 // 10], *(one.metric for one in (*run.drawn_front, *run.seeds))]
    low, high = min(kept), max(kept)
    outside = ordered[-1] < low or ordered[-1] > high
    margin = 0.05 * (high - low)
    return (low - margin, high + margin) if outside and margin > 0.0 else None


def rounded(value: float) -> float | None:
    """Six digits are more than a screen shows; plotly.js takes null for a gap."""
    return float(f"{value:.6g}") if math.isfinite(value) else None
