"""Tables in the width of a terminal: broken between words, and rows as records where that is too narrow."""

from __future__ import annotations

import re
from collections.abc import Sequence
from itertools import product

from rich.console import Console
from rich.table import Table
from rich.text import Text

_BETWEEN_WORDS = re.compile(r"\s+|(?<=[,;])")
_WITHIN_WORDS = re.compile(r"\s+|(?<=[,;:=(_/-])")
"""Where a cell may be broken: between words, and, where these are too long, after signs in names and formulas."""

Padding = tuple[int, int, int, int]

_TIGHT: Padding = (0, 1, 0, 0)
"""Padding of cells where columns need the room."""

_TALLEST = 8
"""Lines of a cell: where one needs more, rows are read more easily one below the other."""

_LEAST = 4
"""Characters of a column at least."""


def fitted(table: Table, console: Console) -> Table | None:
    """The table with cells broken so that it fits the console; None where that makes no table that is easy to read."""
    cells = [[_text(cell) for cell in (column.header, *column.cells)] for column in table.columns]
    wanted = [max(_LEAST, *(_longest_line(cell.plain) for cell in column)) for column in cells]
    for breaks, padding in product((_BETWEEN_WORDS, _WITHIN_WORDS), (table.padding, _TIGHT)):
        room = console.width - _frame(table, console, padding)
        least = [_least(column, breaks) for column in cells]
        widths = _shared(least, wanted, room)
        if widths is not None:
            sized = zip(cells, widths, strict=True)
            broken = [[_broken(cell, width, breaks) for cell in column] for column, width in sized]
            if max(cell.plain.count("\n") for column in broken for cell in column) < _TALLEST:
                return _filled(table, broken, padding)
    return None


def _least(column: Sequence[Text], breaks: re.Pattern[str]) -> int:
    """The width that a column needs."""
    return max(_LEAST, *(len(piece) for cell in column for piece in pieces(cell.plain, breaks)))


def records(table: Table, width: int) -> list[str]:
    """The rows one below the other, a line or more for each cell, for terminals too narrow for columns."""
    headers = [_text(column.header).plain for column in table.columns]
    indent = min(max(map(len, headers), default=0) + 2, width // 2)
    lines = [] if table.title is None else [*_wrapped(str(table.title), width), ""]
    first = len(lines)
    for row in zip(*(list(column.cells) for column in table.columns), strict=True):
        lines += [""] if len(lines) > first else []
        for header, cell in zip(headers, row, strict=True):
            for breaks in (_BETWEEN_WORDS, _WITHIN_WORDS):
                parts = _broken(_text(cell), max(width - indent, 1), breaks).plain.split("\n")
                if max(map(len, parts)) <= width - indent:
                    break
            lines.append(f"{header + ':':<{indent}}{parts[0]}".rstrip())
            lines += [" " * indent + part for part in parts[1:]]
    return lines if table.caption is None else [*lines, "", *_wrapped(str(table.caption), width)]


def _wrapped(text: str, width: int) -> list[str]:
    return _broken(Text(text), width, _BETWEEN_WORDS).plain.split("\n")


def pieces(text: str, breaks: re.Pattern[str]) -> list[str]:
    """The parts of a text between which it may be broken."""
    return [piece for line in text.split("\n") for piece in _split(line, breaks)] or [""]


def _split(line: str, breaks: re.Pattern[str]) -> list[str]:
    return [piece for piece in breaks.split(line) if piece]


def _text(cell: object) -> Text:
    return cell if isinstance(cell, Text) else Text(str(cell))


def _longest_line(text: str) -> int:
    return max(map(len, text.split("\n")))


def _frame(table: Table, console: Console, padding: Padding) -> int:
    """Columns of the screen between and around the cells."""
    filled = _filled(table, [[Text("x") for _ in range(2)] for _ in table.columns], padding)
    filled.title = filled.caption = None
    return console.measure(filled).maximum - len(table.columns)


def _shared(least: Sequence[int], wanted: Sequence[int], room: int) -> list[int] | None:
    """Widths between what columns need and what they want, the room shared out in proportion to what is missing."""
    if sum(least) > room:
        return None
    if sum(wanted) <= room:
        return list(wanted)
    missing = [more - less for less, more in zip(least, wanted, strict=True)]
    left = room - sum(least)
    widths = [less + left * part // sum(missing) for less, part in zip(least, missing, strict=True)]
    for rank in sorted(range(len(widths)), key=lambda rank: widths[rank] - wanted[rank])[: room - sum(widths)]:
        widths[rank] += 1
    return widths


def _broken(cell: Text, width: int, breaks: re.Pattern[str]) -> Text:
    """The cell in lines of at most this width, as far as its words allow; styles stay."""
    lines: list[Text] = []
    for line in cell.split("\n", allow_blank=True):
        ends = [match.end() for match in breaks.finditer(line.plain)]
        start = end = 0
        for stop in [*ends, len(line.plain)]:
            if len(line.plain[start:stop].rstrip()) > width and end > start:
                lines.append(line[start:end])
                start = end
            end = stop
        lines.append(line[start:])
    for line in lines:
        line.rstrip()
    return Text("\n").join(lines)


def _filled(table: Table, cells: Sequence[Sequence[Text]], padding: Padding) -> Table:
    """A table of the same look with other cells, the headers first."""
    made = Table(
        title=table.title,
        caption=table.caption,
        box=table.box,
        padding=padding,
        pad_edge=table.pad_edge,
        show_edge=table.show_edge,
        show_header=table.show_header,
        title_justify=table.title_justify,
        caption_justify=table.caption_justify,
    )
    for column, texts in zip(table.columns, cells, strict=True):
        made.add_column(texts[0], justify=column.justify, style=column.style, no_wrap=True, overflow="crop")
    styles = [row.style for row in table.rows]
    for rank, row in enumerate(zip(*(texts[1:] for texts in cells), strict=True)):
        made.add_row(*row, style=styles[rank] if rank < len(styles) else None)
    return made
