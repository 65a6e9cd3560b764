"""Comparing losses on the test split of a task, or of the tasks of a distribution."""

from __future__ import annotations

import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Literal

import typer

from lossearch.cli.losses import (
    TASK_HELP,
    DeviceOption,
    DirectionOption,
    MetricOption,
    StepsOption,
    TrialsOption,
    WorkersOption,
    placed,
)
from lossearch.cli.output import note, print_table, say
from lossearch.errors import UserError

if TYPE_CHECKING:
    from lossearch.joint_loss import AnyLoss
    from lossearch.named_losses import Resolved

TaskOption = Annotated[str | None, typer.Option("--task", "-t", help=TASK_HELP)]


def compare(
    losses: Annotated[
        list[str] | None,
        typer.Argument(metavar="LOSS", help='Zoo names ("focal(gamma=2)"), files, text forms, or DIR@RANK[.SLOT].'),
    ] = None,
    *,
    task: TaskOption = None,
    distribution: Annotated[
        str | None,
        typer.Option(
            "--distribution",
            help="In place of a task: name of a distribution of tasks, or a .toml file with one; losses are compared on"
            " each task that it draws, and over all.",
        ),
    ] = None,
    held_out: Annotated[
        bool, typer.Option("--held-out", help="Of a distribution: the tasks of the part that no search sees.")
    ] = False,
    boundary: Annotated[
        list[str] | None,
        typer.Option("--boundary", help="With --held-out: the axes that are crossed; by default all. Repeatable."),
    ] = None,
    tasks: Annotated[int | None, typer.Option("--tasks", min=1, help="Of a distribution: how many are drawn.")] = None,
    baselines: Annotated[
        bool, typer.Option("--baselines", help="Compare with the hand-designed losses that searches start from.")
    ] = False,
    seeds: Annotated[int, typer.Option("--seeds", min=2, help="Paired seeds on the test split.")] = 10,
    metric: MetricOption = None,
    direction: DirectionOption = None,
    steps: StepsOption = None,
    trials: TrialsOption = None,
    out: Annotated[
        Path | None,
        typer.Option(
            "--out",
            help="Directory for table, CSV, JSON and figure; keeps finished losses, which a later comparison with the"
            " same settings shows along. By default DIR/comparison, which a report shows, where a LOSS is DIR@RANK and"
            " there is no comparison yet. With --distribution nothing is kept without it.",
        ),
    ] = None,
    workers: WorkersOption = None,
    device: DeviceOption = None,
) -> None:
    """Tune losses on validation data and compare them on the test split."""
    from lossearch.named_losses import find

    if (task is None) == (distribution is None):
        found = "Missing option '--task', or '--distribution'" if task is None else "both"
        raise UserError("--task or --distribution", found, "give one of them")
    if task is not None and (held_out or boundary or tasks):
        raise UserError("--held-out, --boundary and --tasks with --distribution alone", "--task", "leave them out")
    if boundary and not held_out:
        raise UserError("--boundary with --held-out", "--boundary alone", "add --held-out")
    if (metric or direction) and distribution is not None:
        raise UserError("--metric and --direction with a training function", "--distribution", "leave them out")
    found_losses = [find(loss) for loss in losses or []]
    details = {"steps": steps, "baselines": baselines, "workers": workers, **placed(device)}
    details |= {} if trials is None else {"trials": trials}
    try:
        if distribution is not None:
            part = "held_out" if held_out else None
            _across(distribution, [one.loss for one in found_losses], seeds, part, boundary, tasks, out, details)
            return
        assert task is not None
        out = _place_in_run(found_losses) if out is None else out
        told = {"metric": metric, "direction": direction}
        _on_task(task, [one.loss for one in found_losses], seeds, out, {**details, **told})
    except KeyboardInterrupt:
        if out is not None:
            note("finished losses are kept: run the same command again to go on")
        raise


def _on_task(task: str, losses: list[AnyLoss], seeds: int, out: Path | None, details: dict[str, Any]) -> None:
    from lossearch import api
    from lossearch.cli.progress import comparison_progress

    with comparison_progress() as progress:
        comparison = api.compare(task, losses, seeds, out=out, progress=progress, **details)
    print_table(comparison.table())
    say(comparison.verdict)
    if out is not None:
        note(f"wrote table.txt, comparison.csv, comparison.json and comparison.png to {out}")


def _across(
    distribution: str,
    losses: list[AnyLoss],
    seeds: int,
    part: Literal["held_out"] | None,
    boundary: list[str] | None,
    tasks: int | None,
    out: Path | None,
    details: dict[str, Any],
) -> None:
    from lossearch.across import compare_across
    from lossearch.cli.progress import line
    from lossearch.comparison.transfer_table import aggregate_table, cell_table

    found = compare_across(
        distribution,
        losses,
        seeds,
        part=part,
        boundary=boundary or None,
        tasks=tasks,
        out=out,
        progress=lambda name, told: note(f"{name}: {line(told)}"),
        **details,
    )
    print_table(cell_table(found))
    if found.aggregates:
        print_table(aggregate_table(found))
    say(found.verdict)
    if out is not None:
        drawn = ", transfer.json and transfer.png" if found.aggregates else " and transfer.json"
        note(f"wrote transfer.txt{drawn} to {out}, and a folder for each task")


def _place_in_run(found: list[Resolved]) -> Path | None:
    """Where a report looks for the comparison of the first run that a loss comes from; None if it may not go there."""
    run = next((one.run for one in found if one.run is not None), None)
    if run is None:
        return None
    if run.comparison.exists():
        note(f"{run.comparison} is kept as it is: give --out to keep this comparison too")
        return None
    if not os.access(run.path, os.W_OK):
        note(f"{run.path} cannot be written: give --out to keep this comparison")
        return None
    return run.comparison.parent
