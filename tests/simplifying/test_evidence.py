"""Shortening by evidence: what is tried, what is kept, and that nothing but validation data is looked at."""

from __future__ import annotations

import pytest

import lossearch.primitives  # noqa: F401  (registers them)
from lossearch.errors import UserError
from lossearch.ir.forms.joint import format_any
from lossearch.ir.forms.text import format_graph, parse_graph
from lossearch.loss import Loss
from lossearch.simplifying import Simplified, by_evidence, exact
from lossearch.simplifying import evidence as module
from lossearch.simplifying.variations import rounded, without_terms
from lossearch.tasks import ClassificationTask
from lossearch.training.seeds import SIMPLIFYING, used_elsewhere

CE, TRUE = "cross_entropy(logits, target)", "true_class_probability(logits, target)"
TEXT = f"dense: 1.2345 * {CE} + 0.00012345 * entropy(logits) + 3.0"


@pytest.fixture(scope="module")
def shortened() -> Simplified:
    """A loss of which one term hardly matters, on a small budget."""
    task = ClassificationTask("digits")
    return by_evidence(exact(Loss.from_text(TEXT, source="a test")), task, seeds=4, steps=20, workers=1)


def test_what_does_not_matter_is_gone_and_what_does_stays(shortened: Simplified) -> None:
    assert shortened.loss.to_text() == f"dense: 1.2 * {CE}"
    assert shortened.exact.to_text() == Loss.from_text(TEXT).to_text().replace("t1 := ", "")
    assert shortened.original.to_text() == Loss.from_text(TEXT).to_text()
    assert shortened.loss.source == "a test, shortened by evidence on digits"


def test_the_least_important_is_tried_first_and_each_attempt_is_judged(shortened: Simplified) -> None:
    assert shortened.evidence is not None
    attempts = shortened.evidence.attempts
    assert [one.change for one in attempts[:2]] == ["without the number 3", "without 0.00012345 * entropy(logits)"]
    assert attempts[0].share < attempts[1].share < 0.01
    for one in attempts:
        assert one.at_worst is not None
        assert one.difference is not None
        assert one.at_worst <= one.difference
        assert one.kept == (one.at_worst >= -shortened.evidence.margin)
    assert shortened.evidence.seeds == 4


def test_the_test_split_is_not_opened_and_the_seeds_are_its_own(monkeypatch: pytest.MonkeyPatch) -> None:
    opened: list[object] = []
    monkeypatch.setattr(ClassificationTask, "open_test", lambda *given, **named: opened.append(given))
    task = ClassificationTask("digits")
    by_evidence(exact(Loss.from_text(f"dense: {CE} + 1.0")), task, seeds=4, steps=5, workers=1)
    assert not opened
    assert used_elsewhere(SIMPLIFYING[:16], "simplifying") == []


def test_what_trainings_miss_is_kept() -> None:
    """Without cross-entropy nothing is learnt from this loss at all."""
    loss = Loss.from_text(f"dense: {CE} + 0.001 * stop_gradient(entropy(logits)) - 0.5 * entropy(logits)")
    found = by_evidence(exact(loss), ClassificationTask("digits"), seeds=4, steps=60, workers=1)
    assert CE in found.loss.to_text()
    assert found.evidence is not None
    assert [one.kept for one in found.evidence.attempts if one.change == f"without {CE}"] == [False]


def test_a_loss_that_fails_is_refused() -> None:
    loss = Loss.from_text("dense: stop_gradient(entropy(logits)) + 1.0")
    with pytest.raises(UserError, match="a loss that trains on digits"):
        by_evidence(exact(loss), ClassificationTask("digits"), seeds=4, steps=5, workers=1)


def test_a_loss_of_another_family_is_refused() -> None:
    with pytest.raises(UserError, match="signature dense"):
        by_evidence(exact(Loss.from_text("box: 1.0 - box_iou(boxes, target)")), ClassificationTask("digits"), workers=1)


def test_too_few_seeds_are_refused() -> None:
    with pytest.raises(UserError, match="at least 4 seeds"):
        by_evidence(exact(Loss.from_text(f"dense: {CE}")), ClassificationTask("digits"), seeds=3)


def test_terms_are_left_out_of_every_sum_and_nothing_becomes_ill_typed() -> None:
    graph = parse_graph(f"dense: log(1.0 + {CE}) * 2.0 + 0.5 * {TRUE} + 3.0")
    changes = {one.change: format_any(one.graph) for one in without_terms(graph)}
    assert changes["without the number 3"] == f"dense: 2.0 * log(1.0 + {CE}) + 0.5 * {TRUE}"
    assert changes[f"without 0.5 * {TRUE}"] == f"dense: 2.0 * log(1.0 + {CE}) + 3.0"
    assert changes["without the number 1"] == f"dense: log({CE}) * 2.0 + 0.5 * {TRUE} + 3.0"
    assert f"without {CE}" in changes or len(changes) == 4
    for text in changes.values():
        assert format_graph(parse_graph(text)) == text


def test_a_loss_is_never_left_without_its_inputs() -> None:
    assert without_terms(parse_graph(f"dense: {CE} + 1.0"))[0].change == "without the number 1"
    assert len(without_terms(parse_graph(f"dense: {CE} + 1.0"))) == 1


def test_numbers_are_rounded_at_once_and_each_by_itself() -> None:
    found = [(one.change, format_any(one.graph)) for one in rounded(parse_graph(f"dense: 1.234 * {CE} - 0.4567"))]
    assert ("all numbers to 2 digits", f"dense: 1.2 * {CE} - 0.46") in found
    assert ("1.234 to 1.2", f"dense: 1.2 * {CE} - 0.4567") in found
    assert len(found) == 3
    assert rounded(parse_graph(f"dense: 1.2 * {CE} - 0.45")) == []


def test_attempts_come_to_an_end(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MOST_ATTEMPTS", 1)
    found = by_evidence(exact(Loss.from_text(TEXT)), ClassificationTask("digits"), seeds=4, steps=5, workers=1)
    assert found.evidence is not None
    assert len(found.evidence.attempts) == 1
