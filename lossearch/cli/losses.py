"""Commands on losses: show one, tune one, export one."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossearch.cli.output import note, print_fields, say, short
from lossearch.errors import UserError
from lossearch.reading import LARGEST_WHOLE, numbers_in

if TYPE_CHECKING:
    from lossearch.archive.run_directory import RunDirectory
    from lossearch.comparison.tuning import Tuned
    from lossearch.ir.core.parameter import Parameter
    from lossearch.joint_loss import AnyLoss
    from lossearch.loss import Loss
    from lossearch.named_losses import Resolved

_MOST_COEFFICIENTS = 32  # of a learned loss that are listed; a network has hundreds

MOST_TRIALS, MOST_WORKERS = 1_000_000, 10_000

LossArgument = Annotated[
    str, typer.Argument(metavar="LOSS", help='A zoo name ("focal(gamma=2)"), a file, a text form, or DIR@RANK[.SLOT].')
]
TASK_HELP = (
    "Name of a task, a search configuration (.toml) whose task is meant, or a training function of yours"
    " (train.py:train)."
)
TaskOption = Annotated[str, typer.Option("--task", "-t", help=TASK_HELP)]
MetricOption = Annotated[
    str | None, typer.Option("--metric", help="What a training function yields that ranks losses.")
]
DirectionOption = Annotated[
    str | None,
    typer.Option("--direction", help="maximize or minimize, where the metric's name does not tell it."),
]
StepsOption = Annotated[
    int | None,
    typer.Option("--steps", min=1, help="Budget of every training; a training function's is in its own units."),
]
TrialsOption = Annotated[
    int | None,
    typer.Option("--trials", min=2, max=MOST_TRIALS, help="Settings tried in tuning, the same number for every loss."),
]
WorkersOption = Annotated[
    int | None, typer.Option("--workers", min=1, max=MOST_WORKERS, help="Processes; one per core by default.")
]
DeviceOption = Annotated[
    str | None, typer.Option("--device", metavar="auto|cpu|cuda", help="Where to train; on the CPU by default.")
]


def show(
    loss: LossArgument,
    plot: Annotated[
        Path | None,
        typer.Option("--plot", help="Draw value and gradient beside a reference into this file (.png, .svg, .pdf)."),
    ] = None,
    classes: Annotated[
        int | None,
        typer.Option(
            "--classes", min=2, max=1000, help="Classes of the drawn predictions; those of the run, else ten."
        ),
    ] = None,
    graph: Annotated[
        Path | None, typer.Option("--graph", help="Draw the loss's graph into this file (.png, .svg, .pdf).")
    ] = None,
) -> None:
    """Show a loss: formula, parameters, where it comes from."""
    from lossearch.named_losses import find, one_of

    found = find(loss)
    one = None if plot is None and graph is None else one_of(found.loss, loss)
    print_fields((*_described(found.loss), *_provenance(found)))
    if one is None:
        return
    if plot is not None:
        from lossearch.report.classes import classes_of
        from lossearch.report.curves import plot_loss
        from lossearch.report.sweeps import CLASSES

        of_run = CLASSES if found.run is None else classes_of(found.run, one.signature, found.slot)
        plot_loss([one], plot, classes or of_run)
        note(f"wrote {plot}")
    if graph is not None:
        from lossearch.report.graph_drawing import draw_graph

        draw_graph(one, graph)
        note(f"wrote {graph}")


def _described(loss: AnyLoss) -> Iterator[tuple[str, str]]:
    from lossearch.loss import Loss

    yield "name", loss.name
    if isinstance(loss, Loss):
        yield from _described_alone(loss)
    else:
        for slot, one in loss.losses.items():
            yield "slot", slot
            yield from _described_alone(one)
    yield "complexity", f"{loss.complexity} operators"
    yield "key", loss.key
    yield "source", loss.source or "-"


def _described_alone(loss: Loss) -> Iterator[tuple[str, str]]:
    used = (i for i in loss.signature.inputs if i.role != "buffer" or loss.graph.uses(i.name))
    inputs = (f"{i.name}[{', '.join(i.axes)}]" for i in used)
    yield "formula", loss.to_text()
    yield "latex", loss.latex()
    for parameter in loss.parameters:
        flags = "".join(f", {flag}" for flag in ("tunable", "learnable") if getattr(parameter, flag))
        yield "parameter", f"{parameter.name} = {parameter.default:g}{flags}; {_ranges(parameter)}"
    yield "signature", f"{loss.signature.name}: {', '.join(inputs)}"
    from lossearch.training.confident import when_wrong

    if (found := when_wrong(loss.graph)) is not None:
        yield "when wrong", str(found)


def _ranges(parameter: Parameter) -> str:
    """What is defined, what a search tries, and where tuning begins if not with all of that."""
    low, high = parameter.searched
    begins = "" if parameter.search is None else f", beginning with [{low:g}, {high:g}]"
    return f"defined for {parameter.domain}; a search tries [{parameter.lower:g}, {parameter.upper:g}]{begins}"


def _provenance(found: Resolved) -> Iterator[tuple[str, str]]:
    if found.run is None or found.ranked is None:
        return
    ranked, candidate = found.ranked, found.ranked.candidate
    from lossearch.archive.checkpoints import LEARNED, checkpoints_of
    from lossearch.archive.robustness import seeds_in_words
    from lossearch.failure_text import UNKNOWN
    from lossearch.tasks.directions import in_words, told

    with found.run.open_archive(read_only=True) as archive:
        metric, higher, direction = archive.metric, archive.higher_is_better, in_words(archive.higher_is_better)
        parents = [archive.candidate(key) for key in candidate.parents]
        stopped, reason = archive.stopped_early(ranked), archive.why_failed(ranked) if ranked.failed else ""
        others, directions = archive.other_metrics(ranked), archive.directions
        evaluations = list(archive.evaluations(candidate.key))
        learned = checkpoints_of(archive.candidates(operator=LEARNED, island=candidate.origin.island))
        robustness, margin = archive.robustness, archive.margin(ranked)
        raced = [one for one in archive.race_trainings() if one.key == candidate.key and one.budget == ranked.budget]
    judged = [one.metric for one in (evaluations if ranked.standing is None else raced) if one.metric is not None]
    yield "run", str(found.run.path)
    yield "rank", str(found.rank)
    how = seeds_in_words(ranked.seeds, robustness)
    if ranked.standing is not None:
        how = f"final race, {how}, rank {ranked.standing.before} before"
    yield metric, f"{short(ranked.metric)} on validation, {direction} ({how}, budget {ranked.budget})"
    if len(judged) > 1:
        yield "worst seed", short(min(judged) if higher else max(judged))
    if stopped is not None:
        yield "trained", stopped
    for name, value in others.items():
        which = told(name, directions.get(name))
        yield name, f"{short(value)} on validation" + (f", {which}" if which else "")
    if ranked.failed:
        yield "failed", f"{ranked.failed} of {ranked.seeds} evaluations"
        yield "reason", reason.replace("\n", "\n" + " " * 15) or UNKNOWN
    if rates := {one.learning_rate for one in evaluations if one.learning_rate is not None}:
        # Of a user's function a factor on its own; one that takes none has none.
        yield "learning rate", ", ".join(f"{rate:.4g}" for rate in sorted(rates))
    if margin is not None:
        yield "rate moved", f"{margin} (one seed)"
    if devices := {one.device for one in evaluations if one.device is not None}:
        yield "trained on", ", ".join(sorted(devices))
    yield from _shorter(found.run, candidate.key)
    origin = candidate.origin
    yield "made by", f"{candidate.operator} (island {origin.island}, generation {origin.generation})"
    own = [one for one in learned.get(origin.island, ()) if one.candidate.id == candidate.id]
    for one in own:
        yield "outer step", f"{one.step} of its island, {one.total} training steps by then"
        if len(one.coefficients) > _MOST_COEFFICIENTS:
            yield "coefficients", f"{len(one.coefficients)}"
            continue
        for name, value in one.coefficients.items():
            yield "coefficient", f"{name} = {value:g}"
    for parent in parents:
        if parent is not None and parent.text is not None:
            yield "parent", parent.text


def _shorter(run: RunDirectory, key: str) -> Iterator[tuple[str, str]]:
    """The shorter form that `simplify` kept in the run, if it did."""
    from lossearch.archive.simplified import shorter_of

    try:
        shorter = shorter_of(run, key)
        if shorter is not None:
            yield "simplified", shorter.loss.to_text()
            yield "serves", shorter.how
    except UserError as error:
        yield "simplified", f"cannot be read. {error}"


def placed(device: str | None) -> dict[str, str]:
    """Where to train; without a word the configuration's device, or the CPU."""
    return {} if device is None else {"device": device}


def tune(
    loss: LossArgument,
    *,
    task: TaskOption,
    metric: MetricOption = None,
    direction: DirectionOption = None,
    steps: StepsOption = None,
    trials: TrialsOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Export the tuned loss; by suffix.")
    ] = None,
) -> None:
    """Tune a loss's learning rate and parameters on validation data."""
    from lossearch import api

    tuned = api.tune(
        loss,
        task,
        metric=metric,
        direction=direction,
        steps=steps,
        trials=trials,
        workers=workers,
        **placed(device),
    )
    print_fields(_tuned(tuned))
    if output is not None:
        note_written(api.export_slots(tuned.loss, output))


def _tuned(tuned: Tuned) -> Iterator[tuple[str, str]]:
    from lossearch.tasks.directions import in_words

    yield "loss", tuned.loss.name
    yield "task", tuned.task
    yield "trials", f"{len(tuned.trials)} ({tuned.runs} trainings)"
    if tuned.validation is None:
        yield "failed", tuned.message.strip()
        return
    direction = in_words(tuned.metric.higher_is_better)
    yield tuned.metric.name, f"{short(tuned.validation)} on validation, {direction}, at the settings that it chose"
    yield "learning rate", f"{tuned.learning_rate:.4g}{_edge(tuned, 'learning_rate')}"
    for parameter in tuned.loss.parameters:
        if parameter.name in tuned.setting.parameters:
            yield "parameter", f"{parameter.name} = {parameter.default:.4g}{_edge(tuned, parameter.name)}"
    yield "formula", tuned.loss.to_text()


def _edge(tuned: Tuned, name: str) -> str:
    return f", at the {tuned.at_edge[name]} edge of its range" if name in tuned.at_edge else ""


def export(
    loss: LossArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="By suffix: .py, .pt, .pt2, .json or .tex.")
    ],
    reduction: Annotated[str | None, typer.Option("--reduction", help="mean, sum or none (.py, .pt, .pt2).")] = None,
    weight: Annotated[
        str | None, typer.Option("--weight", metavar="W,W,...", help="Weight of each class (.pt, .pt2).")
    ] = None,
    ignore_index: Annotated[
        int | None,
        typer.Option(
            "--ignore-index",
            min=-LARGEST_WHOLE,
            max=LARGEST_WHOLE,
            help="Label whose elements are left out; -100 by default (.py, .pt, .pt2).",
        ),
    ] = None,
    rank: Annotated[int | None, typer.Option("--rank", min=0, help="How many spatial axes there are (.pt2).")] = None,
    labels: Annotated[
        bool | None,
        typer.Option("--labels/--probabilities", help="Whether targets are integer labels (.pt2)."),
    ] = None,
    card: Annotated[
        bool,
        typer.Option("--card", help="Write a card beside the file: formula, scores, how they came about. See verify."),
    ] = False,
    task: Annotated[
        str | None,
        typer.Option("--task", "-t", help=f"With --card, of a loss that is no run's: {TASK_HELP} It is trained there."),
    ] = None,
    comparison: Annotated[
        Path | None,
        typer.Option(
            "--comparison",
            metavar="DIR",
            help="With --card: what `compare --out DIR` wrote, whose table the card keeps; that of the run by default.",
        ),
    ] = None,
    metric: MetricOption = None,
    direction: DirectionOption = None,
    steps: StepsOption = None,
    device: DeviceOption = None,
) -> None:
    """Export a loss as a file that needs nothing but PyTorch."""
    from lossearch import api

    of_card = {
        "task": task,
        "comparison": comparison,
        "metric": metric,
        "direction": direction,
        "steps": steps,
        "device": device,
    }
    if not card and (told := [f"--{name}" for name, value in of_card.items() if value is not None]):
        raise UserError(f"--card, for {' and '.join(told)}", "none", "add --card, or leave them out")

    weights = None if weight is None else _numbers(weight)
    given = {
        "reduction": reduction,
        "weight": weights,
        "ignore_index": ignore_index,
        "rank": rank,
        "labels": labels,
    }
    asked = {name: value for name, value in given.items() if value is not None}
    for path in dict.fromkeys(api.export_slots(loss, output, **asked).values()):
        say(path)
    if card:
        from lossearch.cards import write_card

        say(write_card(loss, output, **of_card))


def note_written(written: Mapping[str, Path]) -> None:
    """Say which files were written, by slot."""
    for path in dict.fromkeys(written.values()):
        note(f"wrote {path}")


def _numbers(text: str) -> list[float]:
    return numbers_in(text, "numbers with commas between them for --weight", "such as 1,0.5,2")
