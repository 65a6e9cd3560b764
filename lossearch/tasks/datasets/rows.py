"""Reading rows of values: tables and series in text files."""

from __future__ import annotations

import csv
from collections.abc import Iterable, Mapping
from pathlib import Path

from lossearch.tasks.datasets.dataset import Rows
from lossearch.tasks.datasets.readers import damaged, file_of

Columns = Mapping[str, list[str]]
"""Values as they are written, by column, all of one length. Steps of series, unnamed columns: "0", "1", …"""

LABEL = "label"
"""The column of classes, where a file names none."""


def read_rows(dataset: Rows, folder: Path) -> Columns:
    """All rows of all files, one file after the other.

    Raises:
        UserError: a file is missing or damaged, or has rows of another length, number or class than it should.
    """
    columns: dict[str, list[str]] = {}
    for name in dataset.files:
        path, content = file_of(dataset, folder, name)
        try:
            names, *rows = _READERS[Path(name).suffix](content.decode().splitlines())
            for row in rows:
                for column, value in zip(names, row, strict=True):
                    columns.setdefault(column, []).append(value)
        except ValueError as error:  # UnicodeDecodeError among them
            raise damaged(dataset, path, f"{type(error).__name__}: {error}") from error
    lengths = {len(values) for values in columns.values()}
    if lengths != {dataset.train_samples}:
        found = f"columns of {', '.join(map(str, sorted(lengths)))} rows, where the dataset has {dataset.train_samples}"
        raise damaged(dataset, folder, found)
    if dataset.classes and (unknown := sorted(set(columns[LABEL]) - set(dataset.classes))):
        raise damaged(dataset, folder, f"the class {unknown[0]!r:.80}, which is none of {', '.join(dataset.classes)}")
    return columns


def csv_columns(content: bytes) -> Columns:
    """The columns of a table whose first row has their names.

    Raises:
        ValueError: there is none, or rows differ in length.
    """
    names, *rows = _csv(content.decode().splitlines())
    return dict(zip(names, (list(values) for values in zip(*rows, strict=True)), strict=True))


def _csv(lines: Iterable[str]) -> list[list[str]]:
    return list(csv.reader(lines))


def _ts(lines: list[str]) -> list[list[str]]:
    """Series and their labels, the steps numbered in the first row."""
    start = lines.index("@data") + 1
    parts = [line.rpartition(":") for line in lines[start:] if line]
    rows = [[*steps.split(","), label] for steps, _, label in parts]
    return _numbered(rows)


def _dat(lines: list[str]) -> list[list[str]]:
    """Rows without names, the class last."""
    return _numbered([[value.strip() for value in row] for row in _csv(lines)])


def _numbered(rows: list[list[str]]) -> list[list[str]]:
    """Rows with a first one of the columns' names: numbers, and that of the classes."""
    names = [str(place) for place in range(len(rows[0]) - 1)] if rows else []
    return [[*names, LABEL], *rows]


_READERS = {".csv": _csv, ".ts": _ts, ".dat": _dat}
"""By the ending of a file's name: a row of column names, then the rows."""
