"""Candidates for several slots: keys, parameters, and the forms in which they are written."""

import pytest

from lossearch import zoo
from lossearch.errors import UserError
from lossearch.ir.core.joint import JointGraph, by_slot
from lossearch.ir.forms.joint import any_from_json, any_to_json, format_any, parse_any
from lossearch.joint_loss import JointLoss, loss_from_json, loss_from_text
from lossearch.loss import Loss

FOCAL, GIOU, CIOU = zoo.get("focal"), zoo.get("giou"), zoo.get("ciou")
JOINT = JointGraph.of({"classification": FOCAL.graph, "box": CIOU.graph})


def test_equal_graphs_make_an_equal_candidate_whatever_their_order() -> None:
    assert JointGraph.of({"box": CIOU.graph, "classification": FOCAL.graph}) == JOINT
    assert JOINT.slots == ("box", "classification")
    others = [JOINT.with_slot("box", GIOU.graph), JointGraph.of({"a": FOCAL.graph, "box": CIOU.graph})]
    assert len({JOINT.key, *(other.key for other in others)}) == 3
    assert JOINT.complexity == FOCAL.complexity + CIOU.complexity
    assert by_slot(JOINT, "loss") == {"box": CIOU.graph, "classification": FOCAL.graph}
    assert by_slot(FOCAL.graph, "loss") == {"loss": FOCAL.graph}


def test_text_and_json_give_back_the_same_candidate() -> None:
    text = format_any(JOINT)
    assert text.startswith("box = box: ")
    assert " | classification = dense(gamma=2.0" in text
    assert parse_any(text) == JOINT == any_from_json(any_to_json(JOINT))
    assert parse_any(format_any(FOCAL.graph)) == FOCAL.graph == any_from_json(any_to_json(FOCAL.graph))


def test_losses_of_several_slots_are_one_thing_with_a_name() -> None:
    joint = JointLoss("pair", JOINT, "run x")
    assert loss_from_json(joint.to_json()) == joint
    assert loss_from_text(joint.to_text(), "pair", "run x") == joint
    assert isinstance(loss_from_json(FOCAL.to_json()), Loss)
    assert joint["classification"] == Loss("pair_classification", FOCAL.graph, "run x")
    assert r"\text{box}" in joint.latex()
    with pytest.raises(UserError, match="a slot of pair: box, classification"):
        joint["boxes"]


def test_parameters_are_called_by_slot_and_name() -> None:
    joint = JointLoss("pair", JOINT)
    assert [one.name for one in joint.parameters] == ["classification_gamma"]
    changed = joint.bind(classification_gamma=3.0)
    assert changed["classification"].graph == FOCAL.bind(gamma=3.0).graph
    assert changed["box"].graph == CIOU.graph
    with pytest.raises(UserError, match="parameters among"):
        joint.bind(gamma=3.0)


@pytest.mark.parametrize(
    ("text", "match"),
    [
        ("box = box: 1.0 - box_iou(boxes, target) | dense: cross_entropy(logits, target)", "a slot with its loss"),
        ("box = box: 1.0 - box_iou(boxes, target) | box = box: box_iou(boxes, target)", "one loss for each slot"),
        ("box = nothing: 1.0", "signature"),
    ],
)
def test_a_malformed_text_is_refused(text: str, match: str) -> None:
    with pytest.raises(UserError, match=match):
        parse_any(text)


def test_a_malformed_document_is_refused() -> None:
    document = any_to_json(JOINT)
    changes = ('"slots": {}, "x": {"box": {', '"slots": {"box": 1, "c": {', '"slots": {"a b": {')
    for old, new in (('"slots": {"box": {', change) for change in changes):
        assert old in document
        with pytest.raises(UserError):
            any_from_json(document.replace(old, new, 1))
