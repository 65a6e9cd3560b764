"""A signature of another package, of class scores with labels, is treated as the bundled one of such losses is."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from lossearch import zoo
from lossearch.candidates.probes import Probes
from lossearch.candidates.screen import FILTERS, Screen, ScreeningConfig
from lossearch.errors import UserError
from lossearch.ir import Interval
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.signature import DOMAIN, SIGNATURES, Input, Signature, get_signature, register_signature
from lossearch.ir.forms.text import format_graph, parse_graph
from lossearch.ir.operators import functions as fn
from lossearch.search_spaces.derived import derived_space
from lossearch.tasks import UserTask
from lossearch.training.confident import when_wrong
from lossearch.zoo.registry import ENTRIES, hand_designed

AXES = ("batch", "class")


def named(text: str) -> str:
    """A formula of the bundled signature in the names of the other one."""
    return text.replace("dense:", "marks:").replace("logits", "score").replace("target", "mark")


@pytest.fixture(autouse=True)
def marks() -> Iterator[Signature]:
    """Marks before the scores that they belong to, without space, and a temperature."""
    unit = Interval(0.0, 1.0)
    mark = Input("mark", AXES, unit, "target", labels="class")
    signature = Signature(
        "marks", (mark, Input("score", AXES, DOMAIN), Input("temperature", (), Interval(0.5, 4.0), "buffer"))
    )
    yield register_signature(signature)
    del SIGNATURES["marks"]
    ENTRIES.pop("marked", None)


def test_what_a_signature_declares_says_what_it_takes(marks: Signature) -> None:
    assert marks.labelled_scores == (marks["score"], marks["mark"])
    dense = get_signature("dense")
    assert dense.labelled_scores == (dense["logits"], dense["target"])
    assert get_signature("distillation").labelled_scores is None  # takes a teacher, too
    assert get_signature("margin").scores is None  # cosines


@pytest.mark.parametrize("name", ["cross_entropy", "brier", "focal"])
def test_its_losses_are_measured_alike(name: str, marks: Signature) -> None:
    own = zoo.get(name).graph.frozen()
    other = parse_graph(named(format_graph(own)))
    measured = Probes(marks, {}).measure(other)
    assert measured.reason is None
    assert not measured.inverted
    assert Probes(marks, {}).measure(other.with_roots([-other.root])).inverted
    found, wanted = when_wrong(other), when_wrong(own)
    assert found is not None
    assert wanted is not None
    assert found.share == pytest.approx(wanted.share, rel=1e-9)


def test_a_function_of_its_losses_is_screened_by_accuracy() -> None:
    @hand_designed(signature="marks", source="a test")
    def marked(mark: Expr, score: Expr) -> Expr:
        """Cross-entropy."""
        return -fn.sum(mark * fn.log_softmax(score, "class"), "class")

    space = derived_space(get_signature("marks"), buffers=False)
    task = UserTask("train.py:train", signature="marks")
    screen = Screen(task, space, zoo.get("marked").graph, ScreeningConfig(confident_gradient=0.05))
    assert screen.filters == FILTERS
    verdict = screen.check(zoo.get("marked").graph, set())
    assert verdict.accepted, (verdict.filter, verdict.reason)
    assert verdict.numbers["confident_gradient"] > 1.0
    # Its gradient draws every score to zero: accuracy stays what it is.
    assert (
        screen.check(parse_graph("marks: mean(square(score - 0.01 * mark), over=class)"), set()).filter == "rejection"
    )


def test_without_a_loss_of_its_own_it_says_so() -> None:
    with pytest.raises(UserError, match="required: a hand-designed loss of signature marks; found: none"):
        _ = UserTask("train.py:train", signature="marks").slots
