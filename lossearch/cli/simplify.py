"""The command that reads a loss back: its shortest form, and what of it trainings do not miss."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossearch.cli.losses import (
    DeviceOption,
    DirectionOption,
    LossArgument,
    MetricOption,
    StepsOption,
    WorkersOption,
    note_written,
)
from lossearch.cli.output import Format, Listing, note, print_fields, print_listing

if TYPE_CHECKING:
    from lossearch.simplifying import Attempt, Evidence, Simplified

COLUMNS: tuple[str, ...] = ("change", "share_of_gradient", "metric", "difference", "at_worst", "kept")


def simplify(
    loss: LossArgument,
    *,
    task: Annotated[
        str | None,
        typer.Option(
            "--task",
            "-t",
            help="Task on whose validation data trainings show what does not matter; by default a run's own for"
            " DIR@RANK, and none for other losses.",
        ),
    ] = None,
    exact: Annotated[
        bool, typer.Option("--exact", help="Train nothing: only what has the same value and gradient.")
    ] = False,
    labels: Annotated[
        bool | None,
        typer.Option(
            "--labels/--any-target",
            help="Whether targets are labels, for which more can be taken together; a task tells by itself.",
        ),
    ] = None,
    seeds: Annotated[
        int | None, typer.Option("--seeds", min=4, help="Pairs of trainings of each shorter form; 16 by default.")
    ] = None,
    metric: MetricOption = None,
    direction: DirectionOption = None,
    steps: StepsOption = None,
    workers: WorkersOption = None,
    device: DeviceOption = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Export the shorter form; by suffix.")
    ] = None,
) -> None:
    """Show the shortest form of a loss, and leave out what trainings do not miss."""
    from lossearch import api

    found = api.simplify(
        loss,
        task,
        labels=labels,
        evidence=False if exact else None,
        metric=metric,
        direction=direction,
        steps=steps,
        seeds=seeds,
        workers=workers,
        device=device,
        progress=_tell,
    )
    print_fields(_told(found))
    if found.evidence is not None:
        print_listing(_tried(found.evidence), Format.TABLE)
    if output is not None:
        note_written(api.export_slots(found.loss, output))


def _tell(attempt: Attempt) -> None:
    note(f"{attempt.change}: {'kept' if attempt.kept else 'missed'}")


def _told(found: Simplified) -> Iterator[tuple[str, str]]:
    yield "loss", found.original.name
    yield "formula", found.original.to_text()
    yield "exact", found.exact.to_text()
    yield "holds", found.holds
    if found.evidence is not None:
        yield "simplified", found.loss.to_text()


def _tried(evidence: Evidence) -> Listing:
    """What was tried and kept, as a table, and by what it was judged."""
    rows = [
        dict(zip(COLUMNS, (a.change, a.share, a.metric, a.difference, a.at_worst, a.kept), strict=True))
        for a in evidence.attempts
    ]
    summary = {
        "task": evidence.task,
        "metric": f"{evidence.metric} on validation",
        "of_the_original": evidence.original,
        "seeds": evidence.seeds,
        "at_worst_may_be": -evidence.margin,
    }
    return Listing("shorter forms", COLUMNS, rows, summary)
