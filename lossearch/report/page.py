"""A run as one HTML file that opens without a network: text, formulas, tables, interactive figures."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lossearch.archive.robustness import seeds_in_words
from lossearch.archive.run_directory import RunDirectory
from lossearch.comparison.verdict import Units
from lossearch.files import write_atomically
from lossearch.loss import Loss
from lossearch.reading import usable_path
from lossearch.report import figures
from lossearch.report.curves import LossCurves
from lossearch.report.filled import filled
from lossearch.report.formula import Formula
from lossearch.report.learning import shapes
from lossearch.report.learning_figures import learning_figures
from lossearch.report.run_summary import RunSummary, summarize
from lossearch.report.winner import Winner, curves_beside, winner_of
from lossearch.tasks import metrics, tasks
from lossearch.tasks.directions import in_words

TEMPLATE = "report.html.j2"


@dataclass(frozen=True)
class Stage:
    """One line of the filter funnel.

    share: of all candidates considered, that are left after it, in [0, 1]. applied: whether the search had this filter:
    the rejection test is left out where a task's metric does not follow from what its losses are given, and some are
    where the configuration leaves them out.
    """

    name: str
    considered: int
    rejected: int
    seconds: float
    share: float
    applied: bool


@dataclass(frozen=True)
class Part:
    """The loss that a report is about, or that of one of several slots.

    Attributes:
        slot: empty where the search was over one alone.
        loss: The loss.
        formula: In every form that the page shows.
        curves: Of the loss and of others beside it.
        notes: Why curves are missing.
    """

    slot: str
    loss: Loss
    formula: Formula
    curves: Sequence[LossCurves]
    notes: Sequence[str]

    def figure(self, name: str) -> str:
        """What a figure of this part is called."""
        return f"{name}-{self.slot}" if self.slot else name


def _part(slot: str, loss: Loss, run: RunSummary) -> Part:
    curves, notes = curves_beside(loss, slot, run)
    return Part(slot, loss, Formula.of(loss), curves, notes)


def write_report(run: str | Path, output: str | Path | None = None) -> Path:
    """Write a run's report and return its path.

    What is missing (a comparison, accepted candidates, versions) is said in the report.

    Args:
        run: The run's directory, which need not be writable where `output` is given.
        output: The file; None takes `report.html` in the run's directory.

    Raises:
        UserError: There is no run, its archive is missing or damaged, or the file cannot be written.
    """
    summary = summarize(Path(run))
    path = RunDirectory.open(run).report if output is None else usable_path(output, "a path for the report")
    write_atomically(path, render(summary))
    return path


def render(run: RunSummary) -> str:
    """The page."""
    winner = winner_of(run)
    parts = [_part(slot, loss, run) for slot, loss in winner.parts.items()]
    learned, untold = ([], []) if run.learning is None else shapes(run.learning, RunDirectory(run.path))
    drawn = _figures(run, parts, learned)
    return filled(
        TEMPLATE,
        drawn,
        run=run,
        place=shlex.quote(str(run.path)),
        task=next((name for name in run.tasks if name in tasks()), shlex.quote(str(run.path / "config.toml"))),
        # Named after file and function, which a bundled task is not.
        of_function=any(":" in name for name in run.tasks),
        winner=winner,
        parts=parts,
        result=result_sentence(run, winner),
        comparison=run.comparison,
        test_units=_test_units(run),
        stages=stages(run),
        dashes=figures.DASHES,
        learned=learned,
        notes=[*run.notes, *winner.notes, *(note for part in parts for note in part.notes), *untold],
        focused=figures.focus(run) is not None,
        most_points=figures.MOST_POINTS,
        drawn=drawn.keys(),
    )


def result_sentence(run: RunSummary, winner: Winner) -> str:
    """What the run shows, in one sentence."""
    if run.comparison is not None:
        return run.comparison.verdict
    best = run.best
    if best is None:
        return "No candidate has a score yet, so there is no result."
    direction = in_words(run.higher_is_better)
    if best.ranked.standing is not None:
        told = seeds_in_words(best.ranked.seeds, run.race.robustness if run.race else 0.0, "fresh ")
        found = (
            f"the winner of the final race reaches {run.metric} {run.shown(best.metric)} on validation data"
            f" ({direction}), the {told}"
        )
        return f"No comparison on held-out test data has been run, so nothing is proven: {found}."
    found = f"the best candidate reaches {run.metric} {run.shown(best.metric)} on validation data ({direction})"
    if best.seed is not None:
        found += f"; it is {best.seed}, with which the search began"
    elif run.seeds:
        found += (
            f", the best loss that it began with ({run.seeds[0].seed}) {run.shown(run.seeds[0].metric)} before tuning"
        )
    return f"No comparison on held-out test data has been run, so nothing is proven: {found}."


def stages(run: RunSummary) -> list[Stage]:
    """The filters in their order."""
    first = left = max((count.considered for count in run.funnel), default=0)
    found: list[Stage] = []
    for one in run.funnel:
        applied = one.considered > 0 or left == 0
        left = one.considered - one.rejected if applied else left
        found.append(Stage(one.filter, one.considered, one.rejected, one.seconds, left / max(first, 1), applied))
    return found


def _figures(run: RunSummary, parts: Sequence[Part], learned: Sequence[LossCurves]) -> dict[str, figures.Figure]:
    drawn: dict[str, figures.Figure] = {}
    if run.scored:
        drawn["front"] = figures.front_figure(run)
    if run.course:
        drawn["course"] = figures.course_figure(run)
    if run.learning is not None:
        drawn |= learning_figures(run.learning, run)
    if learned:
        drawn["learned-values"], drawn["learned-gradients"] = figures.curve_figures(learned)
    for part in parts:
        if part.curves:
            drawn[part.figure("values")], drawn[part.figure("gradients")] = figures.curve_figures(part.curves)
    if run.comparison is not None and run.comparison.trained:
        drawn["comparison"] = figures.comparison_figure(run.comparison, _test_units(run))
    return drawn


def _test_units(run: RunSummary) -> Units:
    name = run.metric if run.comparison is None else run.comparison.metric
    known = metrics()
    return Units.of(known[name]) if name in known else Units(name, 1.0, 4)
