"""`lossearch simplify`: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import lossearch as package
from lossearch.archive.run_directory import RunDirectory

Command = Callable[..., str]
CE, REVERSE = "cross_entropy(logits, target)", "reverse_cross_entropy(logits, target, -4.0)"
LONG = f"dense: {CE} * 0.5 + {REVERSE} + {CE}"
ALWAYS = "dense: 1.5 * cross_entropy(logits, target) + reverse_cross_entropy(logits, target, (-4.0))"


def fields(text: str) -> dict[str, str]:
    """What is printed, by heading."""
    return {line[:15].rstrip(" :"): line[15:] for line in text.splitlines()}


def test_the_shorter_form_is_shown_beside_the_original(lossearch: Command) -> None:
    shown = fields(lossearch("simplify", LONG))
    assert shown["formula"] == package.load(LONG).to_text()
    assert shown["simplified"] == ALWAYS
    assert shown["exact"] == "equal for every input"


def test_of_labels_more_is_taken_together_and_it_says_so(lossearch: Command, tmp_path: Path) -> None:
    text = f"{LONG} - true_class_probability(logits, target)"
    shown = fields(lossearch("simplify", text, "--labels", "-o", tmp_path / "short.json"))
    assert shown["exact"] == "equal on labels; soft targets may differ"
    short = package.load(tmp_path / "short.json")
    assert short.to_text() == shown["simplified"]
    assert "reverse_cross_entropy" not in shown["simplified"]
    assert short.source == "simplified for labels"


def test_a_loss_that_is_short_already_stays(lossearch: Command) -> None:
    shown = fields(lossearch("simplify", "cross_entropy"))
    assert shown["simplified"] == shown["formula"]
    assert shown["exact"] == "nothing shorter was found"


def test_a_run_tells_that_its_targets_are_labels(run: RunDirectory, lossearch: Command, tmp_path: Path) -> None:
    shown = fields(lossearch("simplify", f"{run.path}@1", "-o", tmp_path / "best.py"))
    assert (
        "cross_entropy(logits, target) * (1.0 - true_class_probability(logits, target)) ** gamma" in shown["simplified"]
    )
    assert "discovered by lossearch in first run, rank 1, simplified for labels" in (tmp_path / "best.py").read_text()
    anything = fields(lossearch("simplify", f"{run.path}@1", "--any-target"))
    assert anything["simplified"] == anything["formula"]


@pytest.mark.parametrize("loss", ["box: 1.0 - box_iou(boxes, target)", "huber"])
def test_labels_are_refused_where_no_target_may_be_labels(loss: str, mistake: Command) -> None:
    assert "whose target may be labels" in mistake("simplify", loss, "--labels")


def test_a_loss_that_nobody_reads_is_refused(mistake: Command) -> None:
    text = " + ".join(f"square(logits + {number}.5)" for number in range(300))
    assert "at most 400 nodes" in mistake("simplify", f"dense: {text}")


def test_the_python_function_does_the_same() -> None:
    found = package.simplify(LONG)
    assert found.loss.to_text() == ALWAYS
    assert found.is_shorter
    assert not found.labels
    assert found.original == package.load(LONG)
