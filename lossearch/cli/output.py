"""How commands write: tables, JSON and CSV on standard output, notes and errors on standard error."""

from __future__ import annotations

import csv
import io
import json
import shutil
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Annotated, TextIO

import typer
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossearch.cli.table_layout import fitted, records
from lossearch.engine.driver.streams import if_anybody_reads
from lossearch.errors import UserError
from lossearch.plain_text import csv_cell, unseen_in, visible

Value = str | int | float | bool | None | Sequence["Value"] | Mapping[str, "Value"]

UNLIMITED = 100_000
"""Columns of a console that is no terminal: what reads it must find each row on one line."""


class Format(StrEnum):
    """The forms in which a listing is written."""

    TABLE = "table"
    JSON = "json"
    CSV = "csv"


FormatOption = Annotated[Format, typer.Option("--format", "-f", help="Form of the output.")]


@dataclass(frozen=True)
class Listing:
    """Rows that a command lists.

    Attributes:
        name: What the rows are, plural; their key in JSON where there is a summary.
        columns: Keys of each row, in order.
        rows: One mapping a row. A nested value is written as text outside JSON.
        summary: What is said about all rows together: fields beside them in JSON, a line below them in a table,
            left out of CSV.
        details: Columns that a table leaves out, for want of room.
    """

    name: str
    columns: tuple[str, ...]
    rows: Sequence[Mapping[str, Value]]
    summary: Mapping[str, Value] = field(default_factory=dict)
    details: frozenset[str] = frozenset()

    def to_json(self) -> str:
        """A list of objects; with a summary, an object that holds both."""
        rows = [{column: row[column] for column in self.columns} for row in self.rows]
        document = {**self.summary, self.name: rows} if self.summary else rows
        text = json.dumps(document, indent=2, ensure_ascii=False, allow_nan=False)
        if unseen_in(text) is not None:  # escaped as JSON has it
            text = json.dumps(document, indent=2, allow_nan=False)
        return text + "\n"

    def to_csv(self) -> str:
        """A header and one line a row."""
        text = io.StringIO()
        writer = csv.writer(text, lineterminator="\n")
        writer.writerow(self.columns)
        for row in self.rows:
            writer.writerow([_cell(row[column]) for column in self.columns])
        return text.getvalue()

    def to_table(self) -> Table:
        """Columns under headings; numbers on the right."""
        table = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False)
        shown = [column for column in self.columns if column not in self.details]
        for column in shown:
            numeric = all(isinstance(row[column], (int, float, type(None))) for row in self.rows)
            table.add_column(Text(column.replace("_", " ")), justify="right" if numeric else "left")
        for row in self.rows:
            table.add_row(*(Text(visible(short(row[column]))) for column in shown))
        return table


def print_listing(listing: Listing, format: Format) -> None:
    """Write a listing to standard output."""
    if format is Format.JSON:
        sys.stdout.write(listing.to_json())
    elif format is Format.CSV:
        sys.stdout.write(listing.to_csv())
    elif listing.rows:
        print_table(listing.to_table())
    else:
        print(f"no {listing.name}")
    if format is Format.TABLE and listing.summary:
        line = "; ".join(f"{key.replace('_', ' ')}: {short(value)}" for key, value in listing.summary.items())
        print(visible(line))


def print_table(table: Table) -> None:
    """Write a table to standard output: broken between words to fit a terminal, one line a row elsewhere."""
    target = console(sys.stdout)
    if target.is_terminal:
        made = fitted(table, target)
        target.print(Text("\n".join(records(table, target.width))) if made is None else made)
        return
    with target.capture() as captured:
        target.print(table)
    sys.stdout.write("".join(f"{line.rstrip()}\n" for line in captured.get().splitlines()))


def print_fields(fields: Iterable[tuple[str, str]]) -> None:
    """Write headings with their values, one a line."""
    for heading, value in fields:
        print(visible(f"{heading + ': ':<15}{value}"))


def say(text: object) -> None:
    """Write a line to standard output."""
    print(visible(str(text)))


def console(file: TextIO) -> Console:
    """A console on `file`; it colours nothing where `NO_COLOR` is set or nobody looks."""
    width = shutil.get_terminal_size().columns if file.isatty() else UNLIMITED
    return Console(file=file, width=width, highlight=False, markup=False, soft_wrap=False)


def note(text: str) -> None:
    """Say something about the command itself, on standard error."""
    with if_anybody_reads(sys.stderr):
        print(visible(text), file=sys.stderr)


def print_error(error: UserError) -> None:
    """A user's mistake in three parts, on standard error."""
    parts = {"required": error.required, "found": error.found, "what to do": error.hint}
    target = console(sys.stderr)
    with if_anybody_reads(sys.stderr):
        for heading, part in parts.items():
            target.print(Text.assemble((f"{heading + ':':<12}", "bold red" if heading == "found" else "bold"), part))


def short(value: Value) -> str:
    """A value as a reader wants it: four significant digits, `-` for nothing."""
    if value in (None, "", [], (), {}):
        return "-"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, float):
        return f"{value:.4g}"
    return _joined(value, short)


def _cell(value: Value) -> str:
    """A value in CSV. A number is one for spreadsheets too; a text is no formula."""
    text = _exact(value)
    return text if isinstance(value, (int, float)) else csv_cell(visible(text))


def _exact(value: Value) -> str:
    """A value as a program wants it: all digits, empty for nothing."""
    if value is None:
        return ""
    if isinstance(value, bool):
        return "true" if value else "false"
    return repr(value) if isinstance(value, float) else _joined(value, _exact)


def _joined(value: Value, one: Callable[[Value], str]) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{key}={one(item)}" for key, item in value.items())
    if isinstance(value, Sequence) and not isinstance(value, str):
        return ", ".join(one(item) for item in value)
    return str(value)
