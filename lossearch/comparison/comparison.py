"""The result of a comparison: one row per loss, the reference that all are measured against, and what it says."""

from __future__ import annotations

import contextlib
import io
import json
import os
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from lossearch.comparison.figure import draw
from lossearch.comparison.statistics import Interval, PairedDifference
from lossearch.comparison.table import COLUMNS, SHOWN, csv_text, make_table, table_rows, table_text
from lossearch.comparison.tuning import Tuned
from lossearch.comparison.tuning_space import Edge
from lossearch.comparison.verdict import verdict
from lossearch.errors import UserError
from lossearch.listing import data_frame, html_table
from lossearch.reading import usable_path
from lossearch.tasks import Metric

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.table import Table

Source = Literal["hand-designed", "discovered"]


@dataclass(frozen=True)
class Compared:
    """What was measured of one loss.

    Attributes:
        name: unique among the compared losses.
        source: "hand-designed" or "discovered".
        tuned: the loss at its best settings.
        values: metric on the test split, one per seed; None where a training failed; empty where tuning found no
            setting under which the loss trains.
        message: why a training failed; otherwise empty.
    """

    name: str
    source: Source
    tuned: Tuned
    values: tuple[float | None, ...]
    message: str = ""

    @property
    def sound(self) -> tuple[float, ...]:
        """The values if no training failed, otherwise nothing."""
        kept = tuple(value for value in self.values if value is not None)
        return kept if len(kept) == len(self.values) else ()


@dataclass(frozen=True)
class Row:
    """One loss in a comparison. Metrics are in the metric's own units.

    Attributes:
        loss: name.
        source: "hand-designed" or "discovered".
        origin: author and year, or the run that found it.
        formula: text form, at the tuned parameters.
        parameters: tuned ones.
        learning_rate: tuned, as the optimiser was given it.
        validation: metric on validation at these settings: optimistic, since it chose them.
        values: metric on the test split per seed; None where a training failed.
        interval: mean over seeds with its bootstrap interval; None for a loss that failed.
        difference: loss - reference over paired seeds, with interval and permutation p-value; None for the reference
            and for a loss that failed.
        p_holm: that p-value corrected for the number of losses.
        better: whether the loss is better than the reference; None where nothing can be said.
        noise_floor: how far the means of two comparisons of this same loss differ by their seeds alone.
        at_edge: settings that lie at an edge of their range, with the side.
        message: why the loss failed; otherwise empty.
    """

    loss: str
    source: Source
    origin: str
    formula: str
    parameters: Mapping[str, float]
    learning_rate: float
    validation: float | None
    values: tuple[float | None, ...]
    interval: Interval | None = None
    difference: PairedDifference | None = None
    p_holm: float | None = None
    better: bool | None = None
    noise_floor: float | None = None
    at_edge: Mapping[str, Edge] | None = None
    message: str = ""


@dataclass(frozen=True)
class Comparison:
    """Losses compared on the test split of one task.

    Attributes:
        task: its name.
        metric: what the losses are judged by.
        seeds: of the trainings, the same for all losses.
        reference: name of the hand-designed loss with the best mean; of the best loss where none is hand-designed;
            None where every loss failed. It is chosen by its test values, which can only make it harder to beat.
        rows: best mean first, losses that failed last.
        results: the tuned losses by name.
        settings: everything else that the figures depend on.
    """

    task: str
    metric: Metric
    seeds: tuple[int, ...]
    reference: str | None
    rows: tuple[Row, ...]
    results: Mapping[str, Tuned]
    settings: Mapping[str, Any]

    @property
    def noise_floor(self) -> float | None:
        """How far two comparisons of the reference itself differ by their seeds alone; None below four seeds."""
        return next((row.noise_floor for row in self.rows if row.loss == self.reference), None)

    @property
    def verdict(self) -> str:
        """What the comparison says, in one sentence."""
        return verdict(self)

    def table(self) -> Table:
        """A table for a terminal."""
        return make_table(self)

    def to_text(self) -> str:
        """Table and verdict as plain text."""
        return table_text(self)

    def to_pandas(self) -> DataFrame:
        """One line per loss, as in the CSV file; raises `UserError` where pandas is not installed."""
        return data_frame(COLUMNS, table_rows(self))

    def _repr_html_(self) -> str:
        caption = f"{self.task}: test {self.metric.name}, {len(self.seeds)} paired seeds. {self.verdict}"
        return html_table(SHOWN, table_rows(self), caption)

    def to_dict(self) -> dict[str, Any]:
        """Everything, for JSON."""
        rows = [asdict(row) for row in self.rows]
        for row in rows:
            row["document"] = json.loads(self.results[row["loss"]].loss.to_json())
        return {
            "task": self.task,
            "metric": self.metric.name,
            "higher_is_better": self.metric.higher_is_better,
            "seeds": list(self.seeds),
            "reference": self.reference,
            "noise_floor": self.noise_floor,
            "verdict": self.verdict,
            "settings": dict(self.settings),
            "rows": rows,
        }

    def to_json(self, path: str | Path) -> None:
        """Write everything as JSON."""
        write_file(path, json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n")

    def to_csv(self, path: str | Path) -> None:
        """Write one line per loss."""
        write_file(path, csv_text(self))

    def figure(self, path: str | Path) -> None:
        """Draw means with intervals, best at the top; the format is that of the suffix."""
        buffer = io.BytesIO()
        draw(self).savefig(buffer, format=Path(path).suffix.removeprefix(".") or "png", dpi=150)
        write_file(path, buffer.getvalue())

    def save(self, directory: str | Path) -> None:
        """Write table.txt, comparison.csv, comparison.json and comparison.png."""
        folder = Path(directory)
        write_file(folder / "table.txt", self.to_text())
        self.to_csv(folder / "comparison.csv")
        self.to_json(folder / "comparison.json")
        self.figure(folder / "comparison.png")

    def __str__(self) -> str:
        return self.to_text()


def write_file(path: str | Path, content: str | bytes) -> None:
    """Write a file that is there as a whole or not at all; missing directories are made.

    Raises:
        UserError: the disk is full, or the place cannot be written.
    """
    path = usable_path(path, "a place to write to")
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        temporary.write_bytes(content.encode() if isinstance(content, str) else content)
        temporary.replace(path)
    except OSError as error:
        with contextlib.suppress(OSError):
            temporary.unlink(missing_ok=True)
        raise UserError(
            f"a place where {path} can be written",
            str(error),
            "free space or name another directory, then run again: finished losses are kept",
        ) from error
