"""A comparison as its user sees it: as text, table, figure, and the files of its directory."""

from __future__ import annotations

import io
import json
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lossearch.comparison.checkpoint import AGAIN
from lossearch.comparison.figure import draw
from lossearch.comparison.result import FORMAT, Result
from lossearch.comparison.table import COLUMNS, SHOWN, csv_text, make_table, table_rows, table_text
from lossearch.comparison.verdict import verdict
from lossearch.files import storage_errors, write_atomically
from lossearch.listing import data_frame, html_table
from lossearch.reading import usable_path

if TYPE_CHECKING:
    from pandas import DataFrame
    from rich.table import Table


@dataclass(frozen=True)
class Comparison(Result):
    """Losses compared on the test split of one task; see `Result` for what it holds."""

    @property
    def verdict(self) -> str:
        """What the comparison says, in one sentence, and in others what has to be known with it."""
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
            "format": FORMAT,
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
        _write(path, json.dumps(self.to_dict(), indent=1, ensure_ascii=False) + "\n")

    def to_csv(self, path: str | Path) -> None:
        """Write one line per loss."""
        _write(path, csv_text(self))

    def figure(self, path: str | Path) -> None:
        """Draw means with intervals, best at the top; the format is that of the suffix."""
        buffer = io.BytesIO()
        draw(self).savefig(buffer, format=Path(path).suffix.removeprefix(".") or "png", dpi=150)
        _write(path, buffer.getvalue())

    def save(self, directory: str | Path) -> None:
        """Write table.txt, comparison.csv, comparison.json and comparison.png."""
        folder = Path(directory)
        _write(folder / "table.txt", self.to_text())
        self.to_csv(folder / "comparison.csv")
        self.to_json(folder / "comparison.json")
        self.figure(folder / "comparison.png")

    def __str__(self) -> str:
        return self.to_text()


def _write(path: str | Path, content: str | bytes) -> None:
    place = usable_path(path, "a place to write to")
    with storage_errors(place, AGAIN):
        place.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(place, content, AGAIN)
