"""The configuration reference is what the models say."""

from pathlib import Path

import pytest
from pydantic import BaseModel

from lossearch.engine.setup.config import SearchConfig
from lossearch.errors import UserError
from lossearch.report.configuration_reference import documented, reference

PAGE = Path(__file__).resolve().parents[2] / "docs" / "CONFIGURATION.md"


def rows(heading: str) -> dict[str, list[str]]:
    """Cells of a section's table by field."""
    section = reference().split(f"\n### {heading}\n")[1].split("\n### ")[0]
    lines = [line.strip("|").split(" | ") for line in section.splitlines() if line.startswith("| `")]
    return {cells[0].strip(" `"): [cell.strip() for cell in cells[1:]] for cells in lines}


def test_the_page_in_the_docs_is_up_to_date():
    assert PAGE.read_text(encoding="utf-8") == reference(), "run `make docs`"


def test_every_field_of_a_search_has_a_row_with_its_default():
    found = rows("The search itself")
    assert list(found) == list(SearchConfig.model_fields)
    assert found["generation_size"][:2] == ["integer ≥ 1", "`16`"]
    assert found["time_limit_s"][:2] == ["number > 0.0", "left out"]
    assert found["task"][1] == "required"


def test_a_field_without_a_description_is_an_error():
    class Config(BaseModel):
        """Two fields.

        Attributes:
            first: has
                a meaning.
        """

        first: int = 1
        second: int = 2

    with pytest.raises(UserError, match="second"):
        documented(Config)
