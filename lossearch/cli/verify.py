"""The command that computes the scores on a loss card again."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossearch.cli.output import Format, FormatOption, Listing, note, print_listing, say

if TYPE_CHECKING:
    from lossearch.cards import Verification

DISAGREES = 1

COLUMNS: tuple[str, ...] = ("task", "split", "metric", "card", "now", "noise_floor", "seeds", "equal", "agrees")


def verify(
    card: Annotated[Path, typer.Argument(metavar="CARD", help="A card that `export --card` wrote.")],
    *,
    task: Annotated[
        str | None,
        typer.Option(
            "--task", "-t", help="The card's training function (train.py:train), or the configuration of its search."
        ),
    ] = None,
    held_out: Annotated[
        bool,
        typer.Option("--held-out", help="Compute its table on held-out data again, which opens the test split."),
    ] = False,
    device: Annotated[
        str | None,
        typer.Option("--device", metavar="auto|cpu|cuda", help="Where to train; by default as the card was."),
    ] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Compute the score on a loss card again; exit status 1 where it does not agree within the noise floor."""
    from lossearch.cards import verify as run

    found = run(card, task, held_out=held_out, device=device, progress=note)
    for text in found.notes:
        note(text)
    print_listing(_listing(found), format)
    for check in found.checks:
        if check.message:
            note(f"{check.task}: {check.message}")
    if format is Format.TABLE:
        say(found.verdict)
    if not found.agrees:
        raise typer.Exit(DISAGREES)


def _listing(found: Verification) -> Listing:
    rows = [
        (c.task, c.split, c.metric, c.recorded, c.found, c.noise_floor, c.seeds, c.equal, c.agrees)
        for c in found.checks
    ]
    return Listing("checks", COLUMNS, [dict(zip(COLUMNS, row, strict=True)) for row in rows])
