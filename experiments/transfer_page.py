"""What `RESULTS.md` says of losses that were searched for many tasks, and compared on tasks that no search saw."""

from __future__ import annotations

from collections.abc import Iterator

from lossearch.comparison.statistics import ConfidenceInterval
from lossearch.comparison.verdict import p_text
from lossearch.experiments.outcome import TransferOutcome

HEAD = """## Losses for many tasks

Searched over some tasks of a distribution, compared on the test splits of tasks of other data, corruptions and
architectures. A gain is the difference to the reference with the same seed, in noise floors of the task; its
interquartile mean goes over all tasks and seeds, with a stratified bootstrap interval; *P(better)* is how likely a run
of the discovered loss is better than one of this loss (Agarwal et al. 2021). *p* is Holm-corrected over the tasks."""


def section(outcome: TransferOutcome) -> Iterator[str]:
    """The lines of one experiment."""
    name, found = outcome.name, outcome.found
    yield f"### {name}"
    yield ""
    yield f"    lossearch search experiments/{name}.toml --out runs/experiments/{name}"
    yield (
        f"    lossearch compare runs/experiments/{name}@1 --baselines --distribution experiments/{name}.toml --held-out"
        f" --tasks {len(outcome.cells)} --seeds {outcome.seeds} --trials {outcome.trials}"
    )
    yield ""
    yield f"Discovered, {found.complexity} operators:"
    yield ""
    yield f"    {found.formula}"
    yield ""
    if found.shorter is not None:
        yield f"Shorter, {found.shorter_how}:"
        yield ""
        yield f"    {found.shorter}"
        yield ""
    yield "| task | best hand-designed there | difference | p | better | gain |"
    yield "|---|---|---|---|---|---|"
    for cell in outcome.cells:
        known = cell.difference is not None and cell.low is not None and cell.high is not None
        shown = f"{cell.difference:+.4g} [{cell.low:+.4g}, {cell.high:+.4g}]" if known else "–"
        p = "–" if cell.p_holm is None else p_text(cell.p_holm)
        better = {True: "**yes**", False: "worse", None: "no"}[cell.better]
        yield f"| {cell.task} | {cell.opponent or '–'} | {shown} | {p} | {better} | {_number(cell.gain)} |"
    yield ""
    yield f"| loss | gain over {outcome.reference}, interquartile mean | worst task | P(better) | failed |"
    yield "|---|---|---|---|---|"
    for one in outcome.aggregates:
        loss = f"**{one.loss}**" if one.loss == outcome.judged else one.loss
        p = "–" if one.improvement is None else f"{one.improvement:.0%}"
        yield f"| {loss} | {_gain(one.gain)} | {one.worst:+.2f} on {one.worst_task} | {p} | {one.failed} |"
    yield ""
    cost = found.cost
    versions = ", ".join(f"{key} {version}" for key, version in outcome.versions.items())
    yield (
        f"{outcome.seeds} paired seeds, {outcome.trials} settings of each loss tried on each task; the search proposed"
        f" {cost.proposed} candidates, trained {cost.trained}, {cost.hours:.2g} h on one core; {versions}."
    )
    yield ""


def _gain(interval: ConfidenceInterval) -> str:
    return f"{interval.mean:+.2f} [{interval.low:+.2f}, {interval.high:+.2f}]"


def _number(gain: float | None) -> str:
    return "–" if gain is None else f"{gain:+.2f}"
