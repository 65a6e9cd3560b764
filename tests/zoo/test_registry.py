"""The registry: names, arguments, options, and what it says to a mistake."""

from __future__ import annotations

import math

import pytest

from lossearch import zoo
from lossearch.errors import UserError
from lossearch.ir import SIGNATURES, Expr, Parameter
from lossearch.loss import Loss
from lossearch.zoo import registry


def test_names_by_signature_cover_all_names() -> None:
    families = {signature.family for signature in SIGNATURES.values()}
    assert sorted(zoo.names()) == sorted(name for family in families for name in zoo.names(family))
    assert "giou" in zoo.names("box")
    assert "giou" not in zoo.names("dense")


def test_every_entry_says_what_it_is() -> None:
    for entry in zoo.entries():
        loss = entry.build()
        assert (loss.name, loss.source, loss.signature) == (entry.name, entry.source, entry.signature)
        assert entry.summary.endswith(".")
        assert entry.source[-4:].isdigit()
        assert loss.parameters == entry.parameters


def test_every_loss_round_trips_through_text_and_json() -> None:
    losses = [entry.build() for entry in zoo.entries()]
    for loss in [*losses, zoo.get("lovasz_softmax", per="image"), zoo.get("dice", per="image", background=False)]:
        assert Loss.from_json(loss.to_json()) == loss
        assert Loss.from_text(loss.to_text()).graph == loss.graph


def test_ranges_hold_what_comparisons_found_best() -> None:
    found_at_40_percent_noise = {
        "label_smoothing_cross_entropy": {"smoothing": 0.7},
        "poly1": {"epsilon": 15.0},
        "symmetric_cross_entropy": {"alpha": 0.3},
    }
    for name, values in found_at_40_percent_noise.items():
        loss = zoo.get(name, **values)
        assert {p.name: p.default for p in loss.parameters} | values == {p.name: p.default for p in loss.parameters}


def test_parameters_bind_by_keyword() -> None:
    (gamma,) = zoo.get("focal", gamma=5).parameters
    assert gamma == Parameter("gamma", 5.0, 0.0, 10.0, tunable=True, defined=(0.0, math.inf))


def test_options_change_the_graph() -> None:
    plain, per_image, unsquared = zoo.get("dice"), zoo.get("dice", per="image"), zoo.get("dice", squared=False)
    assert plain.root.axes == ("class",)
    assert per_image.root.axes == ("batch", "class")
    assert len({plain.key, per_image.key, unsquared.key}) == 3


def test_an_option_may_leave_out_a_parameter() -> None:
    assert [p.name for p in zoo.get("binary_focal").parameters] == ["gamma", "alpha"]
    assert [p.name for p in zoo.get("binary_focal", balanced=False).parameters] == ["gamma"]


def test_the_background_is_left_out_by_a_weight() -> None:
    for name in ("dice", "jaccard", "tversky", "focal_tversky", "boundary"):
        assert zoo.get(name, background=True).graph.weight is None
        weight = zoo.get(name, background=False).graph.weight
        assert weight is not None
        assert weight.axes == ("class",)


@pytest.mark.parametrize(
    ("name", "arguments", "message"),
    [
        ("focl", {}, "did you mean focal"),
        ("qqq", {}, "known: active_negative_cross_entropy, adaptive_wing, "),
        ("focal", {"gama": 2.0}, "arguments of focal: gamma, alpha; found: gama"),
        ("focal", {"gamma": -1.0}, "gamma ≥ 0; found: -1"),
        ("info_nce", {"temperature": 0.0}, "temperature > 0; found: 0"),
        ("label_smoothing_cross_entropy", {"smoothing": 1.5}, r"smoothing in \[0, 1\]; found: 1.5"),
        ("focal", {"gamma": "two"}, "a number for gamma; found: 'two'"),
        ("focal", {"gamma": True}, "a number for gamma; found: True"),
        ("brier", {"gamma": 2.0}, "no arguments; found: gamma"),
        ("binary_focal", {"balanced": False, "alpha": 0.5}, "an effect with balanced=False; found: alpha"),
        ("lovasz_softmax", {"per": "pixel"}, "per among 'batch', 'image'; found: 'pixel'"),
        ("lovasz_softmax", {"classes": "some"}, "classes among 'present', 'all'; found: 'some'"),
        ("boundary", {"background": "no"}, "background among True, False; found: 'no'"),
        ("dice", {"per": "pixel"}, "per among 'batch', 'image'; found: 'pixel'"),
        ("dice", {"squared": "no"}, "squared among True, False; found: 'no'"),
    ],
)
def test_a_mistake_is_named(name: str, arguments: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        zoo.get(name, **arguments)  # type: ignore[arg-type]


def test_a_name_can_be_taken_only_once() -> None:
    def focal(logits: Expr, target: Expr) -> Expr:
        """Another."""
        return logits

    with pytest.raises(UserError, match="a new name for a hand-designed loss"):
        registry.hand_designed(signature="dense", source="Nobody 2000")(focal)


def test_an_argument_must_be_an_input_or_a_parameter() -> None:
    def unheard(logits: Expr, gama: Expr) -> Expr:
        """A slip."""
        return logits * gama

    with pytest.raises(UserError, match=r"arguments of unheard among .*found: gama"):
        registry.hand_designed(signature="dense", source="Nobody 2000", parameters=[Parameter("gamma", 1, 0, 2)])(
            unheard
        )
    assert "unheard" not in zoo.names()


def test_a_docstring_is_asked_for() -> None:
    def silent(logits: Expr) -> Expr:
        return logits

    with pytest.raises(UserError, match="a docstring"):
        registry.hand_designed(signature="dense", source="Nobody 2000")(silent)
