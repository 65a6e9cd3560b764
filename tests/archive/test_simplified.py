"""`simplified.json`: shorter forms beside the archive, and what a damaged file says."""

from __future__ import annotations

from pathlib import Path

import pytest

from lossearch import zoo
from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.simplified import FILE, Shorter, keep_shorter, shorter_of, was_sought
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


def test_a_loss_with_nothing_shorter_was_sought_and_has_none(run: RunDirectory) -> None:
    key = SHORTER.loss.key
    assert not was_sought(run, key, evidence=False)
    keep_shorter(run, key, SHORTER)
    assert shorter_of(run, key) is None
    assert was_sought(run, key, evidence=False)
    assert not was_sought(run, key, evidence=True)


NO_EVIDENCE = '{"a": {"document": "", "exact": "", "holds": "", "evidence": 3}}'


DAMAGED = ["", "[]", '{"a": 1}', '{"a": {"document": 1}}', "[" * 100_000, NO_EVIDENCE]


@pytest.mark.parametrize("text", DAMAGED, ids=lambda text: f"{len(text)} characters")
def test_a_damaged_file_says_what_to_do(run: RunDirectory, text: str) -> None:
    (run.path / FILE).write_text(text)
    with pytest.raises(UserError, match="delete it"):
        shorter_of(run, "a")
