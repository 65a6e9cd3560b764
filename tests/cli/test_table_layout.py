"""Tables in narrow terminals: nothing is cut, and no word is broken."""

from __future__ import annotations

import io

import pytest
from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from lossearch.cli.table_layout import fitted, records

ROWS = [
    ("1", "seed:label_smoothing_cross_entropy", "dense: 1.11 * label_smoothed_cross_entropy(logits, target, 0.1)"),
    ("22", "random", "dense: tanh(cross_entropy(logits, target)) * 2.5 + entropy(logits)"),
]


def table() -> Table:
    made = Table(box=box.SIMPLE_HEAD, pad_edge=False, show_edge=False, title="of a title")
    made.add_column("rank", justify="right")
    made.add_column("made by")
    made.add_column(Text("formula"))
    for row in ROWS:
        made.add_row(*(Text(cell) for cell in row))
    return made


def printed(width: int) -> list[str]:
    console = Console(file=io.StringIO(), width=width)
    made = fitted(table(), console)
    if made is None:
        return records(table(), width)
    console.print(made)
    return console.file.getvalue().splitlines()  # type: ignore[attr-defined]


def words(lines: list[str]) -> list[str]:
    return "".join(lines).split()


@pytest.mark.parametrize("width", [20, 30, 40, 60, 80, 100, 200])
def test_nothing_is_cut_and_no_word_is_broken(width: int) -> None:
    lines = printed(width)
    assert max(map(len, lines)) <= width
    text = " ".join(lines)
    for part in (
        "seed:",
        "label_",
        "smoothing_",
        "cross_",
        "entropy",
        "random",
        "logits",
        "target",
        "tanh(",
        "2.5",
        "dense:",
    ):
        assert part in text
    assert not any(character in text for character in "…")
    shown = [character for character in text if character.isalnum()]
    for cells in zip(*ROWS, strict=True):
        for cell in cells:
            for character in set(cell):
                assert shown.count(character) >= cell.count(character) or not character.isalnum()


def test_columns_where_they_fit_and_records_where_not() -> None:
    wide, narrow = printed(200), printed(20)
    assert wide[1].split() == ["rank", "made", "by", "formula"]
    assert wide[3].startswith("   1")
    assert wide[4].startswith("  22")
    assert narrow[:3] == ["of a title", "", "rank:    1"]
    assert narrow.count("") == 2


def test_styles_stay_when_a_cell_is_broken() -> None:
    made = Table(box=None)
    made.add_column("formula")
    cell = Text("one two three four five")
    cell.stylize("bold", 4, 13)
    made.add_row(cell)
    console = Console(file=io.StringIO(), width=12, force_terminal=True, color_system="standard")
    found = fitted(made, console)
    assert found is not None
    console.print(found)
    assert "\x1b[1mtwo" in console.file.getvalue()  # type: ignore[attr-defined]
