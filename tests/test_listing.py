"""What notebooks show: tables and formulas in which everything is escaped, and data frames."""

from __future__ import annotations

import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

import lossearch
from lossearch.engine.driver.result import SearchResult
from lossearch.errors import UserError
from lossearch.listing import data_frame, escaped, html_table

from .cli.runs import LOSSES, make_run

NASTY = '<script>alert("1")</script> & $x$ \' <b'


class Cells(HTMLParser):
    """The tags of a page, and the texts of its cells."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.tags: list[str] = []
        self.cells: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append(tag)
        if tag in ("td", "th"):
            self.cells.append("")

    def handle_data(self, data: str) -> None:
        if self.cells:
            self.cells[-1] += data


def test_everything_in_a_table_is_escaped() -> None:
    page = html_table((NASTY, "n"), [{NASTY: NASTY, "n": 0.123456}, {NASTY: None, "n": 7}], NASTY)
    found = Cells(page)
    assert set(found.tags) == {"table", "caption", "thead", "tbody", "tr", "th", "td"}
    assert found.cells == [NASTY, "n", NASTY, "0.1235", "", "7"]
    assert "$" not in page
    assert len(Cells(html_table(("a",), [{"a": "x" * 10_000}])).cells[1]) == 300
    assert escaped("a < b & $c$") == "a &lt; b &amp; &#36;c&#36;"


@pytest.mark.parametrize("name", lossearch.zoo.names())
def test_every_hand_designed_loss_is_shown(name: str) -> None:
    entry = lossearch.zoo.entry(name)
    found = Cells(entry._repr_html_())
    assert set(found.tags) <= {"table", "thead", "tbody", "tr", "th", "td", "div"}
    assert name in found.cells
    latex = entry.build()._repr_latex_()
    assert latex.startswith("$$\\displaystyle ")
    assert latex.endswith("$$")
    assert entry.build().latex() in latex


def test_a_result_is_shown_as_a_table_and_as_a_data_frame(tmp_path: Path) -> None:
    pandas = pytest.importorskip("pandas")
    result = SearchResult(make_run(tmp_path / "a <b>run").path)
    page = result._repr_html_()
    assert "<b>" not in page
    assert "&lt;b&gt;run" in page
    assert result.best_.latex().split()[0].replace("<", "&lt;") in page
    frame = result.to_pandas()
    assert isinstance(frame, pandas.DataFrame)
    assert frame["rank"].tolist() == list(range(1, len(frame) + 1))
    assert len(result.to_pandas(2)) == 2
    assert frame["formula"].tolist()[0] == LOSSES[0].to_text()
    front = result.front_
    assert front.to_pandas()["complexity"].tolist() == [found.complexity for found in front]
    assert Cells(front._repr_html_()).cells.count(front[0].loss.to_text()) == 1
    assert result.at_rank(1).key not in result.at_rank(1)._repr_html_()
    assert "displaystyle" in result.at_rank(1)._repr_html_()
    result.close()


def test_a_comparison_is_shown() -> None:
    pytest.importorskip("pandas")
    comparison = lossearch.compare("digits", "focal(gamma=1)", 2, baselines="brier", trials=2, steps=5, workers=1)
    found = Cells(comparison._repr_html_())
    assert {"focal", "brier", "hand-designed"} <= set(found.cells)
    frame = comparison.to_pandas()
    assert frame["loss"].tolist() == [row.loss for row in comparison.rows]
    assert frame["test_mean"].dtype.kind == "f"


def test_without_pandas_it_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pandas", None)
    with pytest.raises(UserError, match="pip install pandas"):
        data_frame(("a",), [{"a": 1}])
