"""`lossearch simplify`: what it prints, what it writes, and what it refuses."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import pytest

import lossearch as package

from .runs import make_run

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
    assert shown["exact"] == ALWAYS
    assert shown["holds"] == "equal for every input"


def test_of_labels_more_is_taken_together_and_it_says_so(lossearch: Command, tmp_path: Path) -> None:
    text = f"{LONG} - true_class_probability(logits, target)"
    shown = fields(lossearch("simplify", text, "--labels", "-o", tmp_path / "short.json"))
    assert shown["holds"] == "equal on labels; soft targets may differ"
    short = package.load(tmp_path / "short.json")
    assert short.to_text() == shown["exact"]
    assert "reverse_cross_entropy" not in shown["exact"]
    assert short.source == "simplified for labels"


def test_a_loss_that_is_short_already_stays(lossearch: Command) -> None:
    shown = fields(lossearch("simplify", "cross_entropy"))
    assert shown["exact"] == shown["formula"]
    assert shown["holds"] == "nothing shorter was found"


SHORT_FOCAL = "cross_entropy(logits, target) * (1.0 - true_class_probability(logits, target)) ** gamma"


def test_a_run_tells_that_its_targets_are_labels(tmp_path: Path, lossearch: Command) -> None:
    run = make_run(tmp_path / "first run")
    shown = fields(lossearch("simplify", f"{run.path}@1", "--exact", "-o", tmp_path / "best.py"))
    assert SHORT_FOCAL in shown["exact"]
    assert "discovered by lossearch in first run, rank 1, simplified for labels" in (tmp_path / "best.py").read_text()
    anything = fields(lossearch("simplify", f"{run.path}@1", "--exact", "--any-target"))
    assert anything["exact"] == anything["formula"]


def test_the_shorter_form_is_kept_in_the_run_beside_what_was_scored(tmp_path: Path, lossearch: Command) -> None:
    run = make_run(tmp_path / "first run")
    before = fields(lossearch("show", f"{run.path}@1"))
    shown = lossearch("simplify", f"{run.path}@1", "--seeds", "4", "--steps", "10", "--workers", "1")
    assert "at worst may be: -" in shown
    assert "metric: accuracy on validation" in shown
    after = fields(lossearch("show", f"{run.path}@1"))
    assert after["formula"] == before["formula"]
    assert after["simplified"] == fields(shown)["simplified"]
    assert after["serves"] == "no worse than the original on digits_noise, over 4 paired seeds on validation"
    lossearch("report", run.path)
    assert "The shorter form of the search" in (run.path / "report.html").read_text(encoding="utf-8")
    (run.path / "simplified.json").write_text("{", encoding="utf-8")
    assert "cannot be read" in fields(lossearch("show", f"{run.path}@1"))["simplified"]
    lossearch("report", run.path)


def test_another_loss_is_shortened_on_the_task_that_is_named(lossearch: Command) -> None:
    text = "dense: 1.2345 * cross_entropy(logits, target) + 0.00001 * entropy(logits)"
    shown = fields(lossearch("simplify", text, "-t", "digits", "--seeds", "4", "--steps", "10", "--workers", "1"))
    assert shown["simplified"] == "dense: 1.2 * cross_entropy(logits, target)"


def test_a_task_and_no_evidence_contradict_each_other(mistake: Command) -> None:
    assert "leave the task out" in mistake("simplify", "focal", "-t", "digits", "--exact")


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
    assert found.evidence is None
    assert found.original == package.load(LONG)
