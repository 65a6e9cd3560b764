"""The command that says which cheap setting of trainings ranks losses as full ones do."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossearch.cli.losses import WorkersOption
from lossearch.cli.output import Format, FormatOption, Listing, note, print_listing, say

if TYPE_CHECKING:
    from lossearch.fidelity import Fidelity

COLUMNS: tuple[str, ...] = ("steps", "seeds", "cost", "tau", "low", "high", "regret")


def fidelity(
    source: Annotated[
        Path, typer.Argument(metavar="CONFIG|DIR", help="A search configuration (.toml), or a run directory.")
    ],
    *,
    sample: Annotated[int, typer.Option("--sample", min=5, help="Losses that are trained.")] = 24,
    seeds: Annotated[int, typer.Option("--seeds", min=1, help="Most trainings of a score.")] = 8,
    full_seeds: Annotated[int, typer.Option("--full-seeds", min=2, help="Trainings of a full metric.")] = 16,
    workers: WorkersOption = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", metavar="FILE", help="Keep the result as JSON.")] = None,
    format: FormatOption = Format.TABLE,
) -> None:
    """Measure how well trainings with fewer steps and seeds rank losses as full ones do."""
    from lossearch.fidelity import measure
    from lossearch.files import write_atomically
    from lossearch.reading import usable_path

    target = None if out is None else usable_path(out, "a file for the result")
    found = measure(
        source,
        sample=sample,
        seeds=seeds,
        full_seeds=full_seeds,
        workers=workers,
        progress=lambda done, total: note(f"trained {done}/{total} losses"),
    )
    if target is not None:
        write_atomically(target, found.to_json())
    print_listing(_listing(found), format)
    if format is Format.TABLE:
        say(found.verdict)


def _listing(found: Fidelity) -> Listing:
    rows = [{column: getattr(row, column) for column in COLUMNS} for row in found.rows]
    return Listing("settings", COLUMNS, rows)
