"""`simplified.json`: shorter forms beside the archive, and what a damaged file says."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossearch import zoo
from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.simplified import FILE, Shorter, keep_shorter, shorter_of
from lossearch.errors import UserError

SHORTER = Shorter(zoo.get("focal").to_json(), "dense: logits", "equal for every input")


@pytest.fixture
def run(tmp_path: Path) -> RunDirectory:
    return RunDirectory.create(tmp_path / "run", 'task = "digits"\n')


def test_shorter_forms_are_kept_side_by_side(run: RunDirectory) -> None:
    assert shorter_of(run, "a") is None
    keep_shorter(run, "a", SHORTER)
    judged = Shorter(SHORTER.document, "dense: logits", "-", {"task": "digits", "seeds": 16})
    keep_shorter(run, "b", judged)
    assert shorter_of(run, "a") == SHORTER
    found = shorter_of(run, "b")
    assert found == judged
    assert found is not None
    assert found.loss == zoo.get("focal")
    assert found.how == "no worse than the original on digits, over 16 paired seeds on validation"


NO_EVIDENCE = '{"a": {"document": "", "exact": "", "holds": "", "evidence": 3}}'


@pytest.mark.parametrize("text", ["", "[]", '{"a": 1}', '{"a": {"document": 1}}', "[" * 100_000, NO_EVIDENCE])
def test_a_damaged_file_says_what_to_do(run: RunDirectory, text: str) -> None:
    (run.path / FILE).write_text(text)
    with pytest.raises(UserError, match="delete it"):
        shorter_of(run, "a")
