"""Rows for people who work in notebooks: as an HTML table, and as a pandas data frame."""

from __future__ import annotations

import html
import math
from collections.abc import Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Any

from lossearch.errors import UserError

if TYPE_CHECKING:
    from pandas import DataFrame

LONGEST = 300
"""Characters of a cell that are shown."""


def html_table(columns: Sequence[str], rows: Iterable[Mapping[str, Any]], caption: str = "") -> str:
    """A table in which every text is escaped; numbers stand on the right with four significant digits."""
    head = "".join(f"<th>{escaped(column.replace('_', ' '))}</th>" for column in columns)
    body = "".join(f"<tr>{''.join(_cell(row.get(column)) for column in columns)}</tr>" for row in rows)
    title = f"<caption>{escaped(caption)}</caption>" if caption else ""
    return f"<table>{title}<thead><tr>{head}</tr></thead><tbody>{body}</tbody></table>"


def finite(numbers: Mapping[str, float]) -> dict[str, float | None]:
    """Named numbers as JSON can hold them: None for what is not finite."""
    return {name: value if math.isfinite(value) else None for name, value in numbers.items()}


def html_formula(latex: str) -> str:
    """A formula that notebooks typeset."""
    return f"<div>$$\\displaystyle {html.escape(latex)}$$</div>"


def escaped(text: str) -> str:
    """The text as HTML shows it; a dollar sign begins no formula."""
    return html.escape(text).replace("$", "&#36;")


def _cell(value: Any) -> str:
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        text = "" if value is None else str(value)
        shown = text if len(text) <= LONGEST else f"{text[: LONGEST - 1]}…"
        return f'<td style="text-align: left">{escaped(shown)}</td>'
    return f'<td style="text-align: right">{value if isinstance(value, int) else format(value, ".4g")}</td>'


def data_frame(columns: Sequence[str], rows: Iterable[Mapping[str, Any]]) -> DataFrame:
    """The rows as a data frame; raises `UserError` where pandas is not installed."""
    try:
        from pandas import DataFrame
    except ImportError as error:
        raise UserError("pandas, which lossearch does not need otherwise", str(error), "pip install pandas") from error
    return DataFrame([{column: row.get(column) for column in columns} for row in rows], columns=list(columns))
