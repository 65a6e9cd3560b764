"""Figures of meta-learning: objective, score, gradient and coefficients over outer steps."""

from __future__ import annotations

import math
from collections.abc import Sequence

from lossearch.report.figures import DASHES, Figure, axes, escape, level, rounded, tick_format
from lossearch.report.learning import IslandLearning, Learning
from lossearch.report.run_summary import RunSummary

_COLOURS = 6


def learning_figures(learning: Learning, run: RunSummary) -> dict[str, Figure]:
    """Those of which there are numbers, by name."""
    islands = learning.islands
    values = [_line(one, [c.value for c in one.checkpoints], rank) for rank, one in enumerate(islands)]
    scores = [_line(one, one.scores, rank) for rank, one in enumerate(islands)]
    gradients = [
        _line(one, [c.gradient for c in one.checkpoints], rank) | _errors(one, rank) for rank, one in enumerate(islands)
    ]
    drawn = {
        "outer-values": _figure(values, "objective (lower is better)"),
        "outer-scores": _figure(scores, f"{escape(run.metric)}, validation"),
        "outer-gradients": _figure(gradients, "norm of the hypergradient"),
        "coefficients": _figure(_coefficients(learning), "coefficient"),
    }
    own = drawn["outer-scores"]
    if own["data"] and run.seeds:
        best, end = run.seeds[0], max(one.last.step for one in islands)
        own["data"].append(level(f"best seed: {escape(best.seed or '')}", [0, end], best.metric, "--muted"))
    own["layout"]["yaxis"] |= tick_format(run.units)
    return {name: figure for name, figure in drawn.items() if figure["data"]}


def _figure(traces: Sequence[Figure], title: str) -> Figure:
    return {"data": [trace for trace in traces if trace["x"]], "layout": axes("outer steps", title)}


def _line(island: IslandLearning, numbers: Sequence[float | None], rank: int) -> Figure:
    """Numbers of an island's checkpoints, those that are known."""
    known = [(one.step, number) for one, number in zip(island.checkpoints, numbers, strict=True) if number is not None]
    return _trace(f"island {island.number}", known, rank, DASHES[0])


def _errors(island: IslandLearning, rank: int) -> Figure:
    """Standard errors of the gradients of an island."""
    known = [one.error for one in island.checkpoints if one.gradient is not None]
    bars = [rounded(math.nan if error is None else error) for error in known]
    shown = {"type": "data", "array": bars, "color": _colour(rank), "thickness": 1, "width": 3}
    return {"error_y": shown} if any(bar is not None for bar in bars) else {}


def _coefficients(learning: Learning) -> list[Figure]:
    traces = []
    for rank, name in enumerate(learning.traced):
        own = [(one.step, one.coefficients[name]) for one in learning.leader.checkpoints if name in one.coefficients]
        traces.append(_trace(escape(name), own, rank, DASHES[rank // _COLOURS % len(DASHES)]))
    return traces


def _trace(name: str, points: Sequence[tuple[int, float]], rank: int, dash: str) -> Figure:
    return {
        "type": "scatter",
        "mode": "lines+markers",
        "name": name,
        "x": [step for step, _ in points],
        "y": [rounded(value) for _, value in points],
        "hovertemplate": "%{y:.4g} after %{x} steps",
        "line": {"width": 2, "dash": dash, "color": _colour(rank)},
        "marker": {"size": 5, "color": _colour(rank)},
    }


def _colour(rank: int) -> str:
    return f"--series-{rank % _COLOURS + 1}"
