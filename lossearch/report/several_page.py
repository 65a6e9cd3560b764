"""Several runs on one page: courses against cost, fronts, winners, cost, and what differs between them."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lossearch.errors import UserError
from lossearch.files import write_atomically
from lossearch.reading import usable_path
from lossearch.report.figures import DASHES, Figure, axes, escape, hover, metric_title, rounded, tick_format
from lossearch.report.filled import filled
from lossearch.report.page import write_report
from lossearch.report.several_runs import Group, OneRun, differences, grouped, read_runs

TEMPLATE = "several.html.j2"


def write_reports(runs: Sequence[str | Path], output: str | Path | None = None) -> Path:
    """Write the report of a run, or one that compares several, and return its path.

    Args:
        runs: Directories of runs.
        output: The file; None takes `report.html` in the directory of a single run.

    Raises:
        UserError: There is no run, one is named twice, an archive is missing or damaged, no file is named for several
            runs, or it cannot be written.
    """
    if len(runs) == 1:
        return write_report(runs[0], output)
    if not runs:
        raise UserError("at least one run", "none", "name the directories that `lossearch search` wrote")
    if output is None:
        raise UserError("a file for the report of several runs", "none", "name it: -o page.html")
    path = usable_path(output, "a path for the report")
    write_atomically(path, render_several(read_runs([Path(run) for run in runs])))
    return path


def render_several(runs: Sequence[OneRun]) -> str:
    """The page."""
    groups = grouped(runs)
    drawn: dict[str, Figure] = {}
    for number, group in enumerate(groups):
        if any(one.course for one in group.runs):
            drawn[f"course-{number}"] = course_figure(group)
        if any(one.run.front for one in group.runs):
            drawn[f"front-{number}"] = front_figure(group)
    return filled(
        TEMPLATE,
        drawn,
        runs=runs,
        groups=groups,
        drawn=set(drawn),
        result=[sentence(group) for group in groups],
        differences=differences(runs),
        notes=[*_unfinished(runs), *(f"{one.label}: {note}" for one in runs for note in one.run.notes)],
    )


def sentence(group: Group) -> str:
    """What the runs on one task show."""
    best = group.ranked[0]
    if best.run.best is None:
        return f"No run on {group.name} has a score yet."
    score = best.run.shown(best.run.best.metric)
    told = f"{best.label} has the best validation {group.first.metric} on {group.name}: {score}"
    if len(group.runs) == 1:
        return f"{best.label}, the only run on {group.name}, has validation {group.first.metric} {score}."
    if not group.comparable:
        told += "; the runs were scored with different budgets or seeds, so that their scores do not quite compare"
    return f"{told}. Which loss is better, a comparison on held-out data tells (lossearch compare)."


def _unfinished(runs: Sequence[OneRun]) -> list[str]:
    return [
        f"{one.label} has not ended: it is shown as far as it went, and `lossearch resume` goes on with it."
        for one in runs
        if one.ended is False
    ]


def course_figure(group: Group) -> Figure:
    """The best score so far of each run, against the steps of its scored trainings."""
    traces: list[Figure] = []
    for rank, one in enumerate(group.runs):
        if not one.course:
            continue
        points = [*one.course, (max(one.steps, one.course[-1][0]), one.course[-1][1])]
        texts = [f"<b>{one.run.shown(best)}</b> after {steps:,} steps" for steps, best in points]
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": escape(one.label),
                "x": [steps for steps, _ in points],
                "y": [rounded(best) for _, best in points],
                "hovertext": [f"{escape(one.label)}: {text}" for text in texts],
                "hoverinfo": "text",
                "line": {"shape": "hv", "width": 2, **_look(rank)},
                "marker": {"size": 5, "color": _look(rank)["color"]},
            }
        )
    described = axes("steps of scored trainings", f"best {escape(group.first.metric)} so far, validation")
    described["yaxis"] |= tick_format(group.first.units)
    return {"data": traces, "layout": described}


def front_figure(group: Group) -> Figure:
    """Metric over complexity: the front of each run, by its final race where it had one."""
    traces: list[Figure] = []
    for rank, one in enumerate(group.runs):
        if not one.run.front:
            continue
        by = "final race" if one.run.race else "search"
        traces.append(
            {
                "type": "scatter",
                "mode": "lines+markers",
                "name": f"{escape(one.label)} ({by})",
                "x": [point.complexity for point in one.run.front],
                "y": [rounded(point.metric) for point in one.run.front],
                "hovertext": [f"{escape(one.label)}<br>{hover(one.run, point)}" for point in one.run.front],
                "hoverinfo": "text",
                "line": {"shape": "hv", "width": 2, **_look(rank)},
                "marker": {"size": 8, "color": _look(rank)["color"]},
            }
        )
    described = axes("complexity (operators of the formula)", metric_title(group.first))
    described["yaxis"] |= tick_format(group.first.units)
    described["hovermode"] = "closest"
    return {"data": traces, "layout": described}


def _look(rank: int) -> dict[str, str]:
    """Colour and dashes: six of each, so that 36 runs look different."""
    return {"color": f"--series-{rank % 6 + 1}", "dash": DASHES[(rank + rank // 6) % 6]}
