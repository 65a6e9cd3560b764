"""The catalogue page is what the declarations say."""

from pathlib import Path

import pytest
from representative import each_loss

from lossearch import zoo
from lossearch.report.catalogue import catalogue

PAGE = Path(__file__).resolve().parents[2] / "docs" / "CATALOGUE.md"


@pytest.fixture(scope="module")
def page():
    return catalogue()


def test_the_page_in_the_docs_is_up_to_date(page):
    assert PAGE.read_text(encoding="utf-8") == page, "run `make docs`"


@pytest.mark.parametrize("name", each_loss())
def test_every_loss_has_its_formula_and_source(name, page):
    section = page.split(f"\n### {name}\n")[1].split("\n### ")[0]
    assert f"Source: {zoo.entry(name).source}." in section
    assert "```math" in section
    assert section.count("```") % 2 == 0
