"""The table of a comparison on held-out data that a card keeps, out of the directory that `compare --out` wrote."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lossearch.cards.card import CardTask, HeldOut, HeldOutRow
from lossearch.cards.facts import described_task, function_task
from lossearch.errors import UserError
from lossearch.joint_loss import AnyLoss
from lossearch.reading import parse_json, read_text
from lossearch.report.comparison_file import ComparisonFile, ComparisonRow, read_comparison_file
from lossearch.tasks.catalogue import task_config

COMPARISON, TRANSFER = "comparison.json", "transfer.json"

_AGAIN = "run `lossearch compare` again with --out"


class Drawn(BaseModel):
    """Which tasks of a distribution were compared, and what is said of all together; see `Transfer`."""

    model_config = ConfigDict(frozen=True, extra="ignore")

    distribution: str
    part: Literal["search", "held_out"]
    boundary: tuple[str, ...] | None
    tasks: int = Field(ge=1)
    draw_seed: int
    verdict: str


@dataclass(frozen=True)
class HeldOutTables:
    """The tables of a comparison that have a loss.

    Attributes:
        tables: of one task, or of each that a distribution drew.
        drawn: of a distribution, else None.
    """

    tables: tuple[HeldOut, ...] = ()
    drawn: Drawn | None = None


def held_out_in(folder: Path, loss: AnyLoss, asked: bool) -> HeldOutTables:
    """The tables in a directory that have a loss.

    Args:
        folder: that `compare --out` wrote, of one task or of a distribution.
        loss: as it was before it was tuned.
        asked: whether the directory was named; otherwise there need be no table of this loss.

    Raises:
        UserError: a file cannot be read, or there is no table of the loss where one is asked for.
    """
    files, drawn = [folder / COMPARISON], None
    if (folder / TRANSFER).is_file():
        files, drawn = sorted(folder.glob(f"*/{COMPARISON}")), _drawn(folder / TRANSFER)
    tables = [read_comparison_file(path, path.relative_to(folder)) for path in files if path.is_file()]
    found = tuple(table for one in tables if (table := _table(one, loss)) is not None)
    if asked and not found:
        names = ", ".join(dict.fromkeys(row.loss for one in tables for row in one.rows))
        hint = "name the directory that `lossearch compare … --out DIR` wrote with this loss among its losses"
        raise UserError(f"a comparison of {loss.name} in {folder}", f"one of {names}" if names else "none", hint)
    return HeldOutTables(found, drawn) if found else HeldOutTables()


def _table(comparison: ComparisonFile, loss: AnyLoss) -> HeldOut | None:
    row = next(_rows_of(comparison, loss), None)
    if row is None:
        return None
    settings = comparison.settings
    try:
        steps, backend, device = settings["steps"], settings["backend"], settings["device"]
        trials = settings["budget"]["trials"]
        task = _task(comparison)
    except (KeyError, TypeError) as error:
        raise UserError("a comparison with the settings of its trainings", f"none: {error}", _AGAIN) from error
    return HeldOut(
        task=task,
        loss=row.loss,
        parameters=dict(row.parameters),
        relative_rate=row.relative_rate,
        steps=steps,
        backend=backend,
        device=device,
        trials=trials,
        seeds=comparison.seeds,
        values=row.values,
        noise_floor=row.noise_floor,
        reference=comparison.reference,
        verdict=comparison.verdict,
        rows=tuple(map(_row, comparison.rows)),
    )


def _rows_of(comparison: ComparisonFile, loss: AnyLoss) -> Iterator[ComparisonRow]:
    """The rows of a loss, which was tuned there; those that failed have no values."""
    names = {parameter.name for parameter in loss.parameters}
    for row in comparison.rows:
        if row.values and row.parameters.keys() <= names and loss.bind(**row.parameters).key == row.to_loss().key:
            yield row


def _task(comparison: ComparisonFile) -> CardTask:
    known = comparison.settings["task"]
    if "function" in known:
        return function_task(comparison.task, comparison.metric, comparison.higher_is_better, known)
    return described_task(task_config(known))


def _row(row: ComparisonRow) -> HeldOutRow:
    mean, gap = row.interval, row.difference
    return HeldOutRow(
        loss=row.loss,
        source=row.source,
        mean=mean and mean.mean,
        low=mean and mean.low,
        high=mean and mean.high,
        difference=gap and gap.mean,
        difference_low=gap and gap.interval.low,
        difference_high=gap and gap.interval.high,
        p_holm=row.p_holm,
        better=row.better,
    )


def _drawn(path: Path) -> Drawn:
    document = parse_json(read_text(path, "what is said of all tasks", _AGAIN), f"{path}", _AGAIN, infinite=True)
    try:
        return Drawn.model_validate(document)
    except ValidationError as error:
        place = ".".join(map(str, error.errors()[0]["loc"])) or "document"
        found = f"{place}: {error.errors()[0]['msg']}"
        raise UserError(f"{path} as `lossearch compare` writes it", found, _AGAIN) from None
