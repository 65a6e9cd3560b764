"""The command that lists hand-designed losses worth starting from, with reasons."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from lossearch.cli.output import Format, FormatOption, Listing, note, print_listing
from lossearch.errors import UserError
from lossearch.reading import numbers_in

if TYPE_CHECKING:
    from lossearch.advice import Advice

TRIED = 4
TRIED_SEEDS = 3
TRIED_TRIALS = 8


def advise(
    task: Annotated[
        str | None, typer.Option("--task", "-t", help="A bundled task: its training split is measured.")
    ] = None,
    family: Annotated[
        str | None,
        typer.Option("--family", help="Task family, in place of a task: segmentation, detection, regression …"),
    ] = None,
    labels: Annotated[
        Path | None,
        typer.Option(
            "--labels",
            "--masks",
            metavar="PATH",
            help="Your labels or masks, measured: .npy, .npz, or a folder of masks.",
        ),
    ] = None,
    ignore_index: Annotated[
        int | None, typer.Option("--ignore-index", help="Label in --labels that stands for none, such as 255.")
    ] = None,
    class_frequencies: Annotated[
        str | None, typer.Option("--class-frequencies", help="Share of each class: 0.9,0.08,0.02.")
    ] = None,
    label_noise: Annotated[float | None, typer.Option("--label-noise", help="Share of wrong labels.")] = None,
    foreground_share: Annotated[
        float | None, typer.Option("--foreground-share", help="Share of elements that are not background.")
    ] = None,
    outlier_share: Annotated[float | None, typer.Option("--outlier-share", help="Share of outlying targets.")] = None,
    metric: Annotated[str | None, typer.Option("--metric", help="What the model is judged by.")] = None,
    architecture: Annotated[str | None, typer.Option("--architecture", help="mlp, cnn, vit …")] = None,
    try_: Annotated[
        bool, typer.Option("--try", help="Compare the first losses on the task: tuned, few seeds, test split.")
    ] = False,
    format: FormatOption = Format.TABLE,
) -> None:
    """List hand-designed losses worth starting from, with reasons; options add to or replace what is measured."""
    from lossearch.advice import advise as advice_for
    from lossearch.situations import situation as situation_of

    if ignore_index is not None and labels is None:
        raise UserError("--labels with --ignore-index", "none", "name a file or folder of labels")
    facts: dict[str, Any] = {
        "family": family,
        "class_frequencies": _shares(class_frequencies),
        "label_noise": label_noise,
        "foreground_share": foreground_share,
        "spatial": None if foreground_share is None else True,
        "outlier_share": outlier_share,
        "metric": metric,
        "architecture": architecture,
    }
    if try_ and task is None:
        raise UserError("--task with --try", "a description", "name a bundled task to try the losses on")
    given = {name: fact for name, fact in facts.items() if fact is not None}
    if task is None and labels is None and not given:
        hint = "name a task, your labels, or describe them: --family segmentation --labels masks/ --metric dice"
        raise UserError("--task, --labels or facts", "neither", hint)
    situation = situation_of(task, labels, ignore_index, given)
    found = advice_for(situation)
    rows = [
        {
            "loss": advice.loss,
            "strength": round(advice.strength, 2),
            "reasons": [f"{reason.text} ({reason.source})" for reason in advice.reasons],
        }
        for advice in found
    ]
    known = {name: fact for name, fact in situation.model_dump(mode="json").items() if fact is not None}
    print_listing(Listing("advice", ("loss", "strength", "reasons"), rows, summary=known), format)
    if try_ and task is not None:
        _try(task, found)


def _shares(text: str | None) -> list[float] | None:
    if text is None:
        return None
    return numbers_in(text, "class frequencies such as 0.9,0.08,0.02", "correct --class-frequencies")


def _try(task: str, found: list[Advice]) -> None:
    from lossearch import api
    from lossearch.cli.output import print_table, say
    from lossearch.cli.progress import comparison_progress

    names = [advice.loss for advice in found[:TRIED]]
    note(f"trying {', '.join(names)}: {TRIED_TRIALS} settings each, {TRIED_SEEDS} seeds; an impression, not a proof")
    with comparison_progress() as progress:
        comparison = api.compare(
            task, names, TRIED_SEEDS, trials=TRIED_TRIALS, baselines=["cross_entropy"], progress=progress
        )
    print_table(comparison.table())
    say(comparison.verdict)
