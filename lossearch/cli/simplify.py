"""The command that reads a loss back: its shortest form, beside what it was."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from lossearch.cli.losses import LossArgument
from lossearch.cli.output import note, print_fields


def simplify(
    loss: LossArgument,
    *,
    labels: Annotated[
        bool | None,
        typer.Option(
            "--labels/--any-target",
            help="Whether targets are labels, for which more can be taken together; of a run's loss its task tells.",
        ),
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", metavar="FILE", help="Export the shorter form; by suffix.")
    ] = None,
) -> None:
    """Show the shortest form of a loss."""
    from lossearch import api

    found = api.simplify(loss, labels=labels)
    before, after = found.original, found.loss
    print_fields(
        (
            ("loss", before.name),
            ("formula", before.to_text()),
            ("simplified", after.to_text()),
            ("exact", found.holds),
        )
    )
    if output is not None:
        note(f"wrote {api.export(after, output)}")
