"""Commands on losses: show one, compare several, tune one, export one."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from lossearch.cli.output import note, short

if TYPE_CHECKING:
    from lossearch.api import Found
    from lossearch.loss import Loss

LossArgument = Annotated[
    str, typer.Argument(metavar="LOSS", help='A zoo name ("focal(gamma=2)"), a file, a text form, or DIR@RANK.')
]


def show(
    loss: LossArgument,
    plot: Annotated[
        Path | None, typer.Option("--plot", help="Draw value and gradient into this file (.png, .svg, .pdf).")
    ] = None,
) -> None:
    """Show a loss: formula, parameters, where it comes from."""
    from lossearch.api import find

    found = find(loss)
    for heading, value in (*_described(found.loss), *_provenance(found)):
        print(f"{heading + ':':<14}{value}")
    if plot is not None:
        from lossearch.report.curves import plot_loss

        plot_loss([found.loss], plot)
        note(f"wrote {plot}")


def _described(loss: Loss) -> Iterator[tuple[str, str]]:
    inputs = (f"{i.name}[{', '.join(i.axes)}]" for i in loss.signature.inputs)
    yield "name", loss.name
    yield "formula", loss.to_text()
    yield "latex", loss.latex()
    for parameter in loss.parameters:
        flags = "".join(f", {flag}" for flag in ("tunable", "learnable") if getattr(parameter, flag))
        bounds = f"in [{parameter.lower:g}, {parameter.upper:g}]"
        yield "parameter", f"{parameter.name} = {parameter.default:g} {bounds}{flags}"
    yield "signature", f"{loss.signature.name}: {', '.join(inputs)}"
    yield "complexity", f"{loss.complexity} operators"
    yield "key", loss.key
    yield "source", loss.source or "-"


def _provenance(found: Found) -> Iterator[tuple[str, str]]:
    if found.run is None or found.ranked is None:
        return
    ranked, candidate = found.ranked, found.ranked.candidate
    with found.run.open_archive(read_only=True) as archive:
        metric = archive.metric
        parents = [archive.candidate(key) for key in candidate.parents]
    yield "run", str(found.run.path)
    yield "rank", str(found.rank)
    how = f"mean of {ranked.seeds} seeds" if ranked.seeds > 1 else "one seed"
    yield metric, f"{short(ranked.metric)} on validation ({how}, budget {ranked.budget})"
    if ranked.failed:
        yield "failed", f"{ranked.failed} of {ranked.seeds} evaluations"
    origin = candidate.origin
    yield "made by", f"{candidate.operator} (island {origin.island}, generation {origin.generation})"
    for parent in parents:
        if parent is not None and parent.text is not None:
            yield "parent", parent.text


def export(
    loss: LossArgument,
    output: Annotated[
        Path, typer.Option("--output", "-o", metavar="FILE", help="By suffix: .py, .pt, .pt2, .json or .tex.")
    ],
) -> None:
    """Export a loss as a file that needs nothing but PyTorch."""
    from lossearch import api

    print(api.export(loss, output))
