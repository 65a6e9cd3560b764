"""Formulas as MathML: well-formed, nothing but presentation markup, readable names."""

from __future__ import annotations

from xml.etree import ElementTree

import pytest
from representative import each_loss

from lossearch import zoo
from lossearch.loss import Loss
from lossearch.report.formula import Formula, mathml


@pytest.mark.parametrize("name", each_loss())
def test_every_hand_designed_loss_has_mathml(name: str) -> None:
    formula = Formula.of(zoo.get(name))
    for element in (*formula.lines, *formula.definitions, *formula.parameters):
        assert ElementTree.fromstring(element).tag == "math"
        assert "://" not in element


def test_values_of_parameters_are_shown() -> None:
    (gamma,) = Formula.of(zoo.get("focal", gamma=1.5)).parameters
    assert "".join(ElementTree.fromstring(gamma).itertext()) == "\N{GREEK SMALL LETTER GAMMA}=1.5"


def test_names_are_words_not_letters() -> None:
    tree = ElementTree.fromstring(mathml(r"\operatorname*{softmax}_{\mathrm{class}} \left(z\right)"))
    assert [(node.tag, node.text) for node in tree.iter() if node.text in ("softmax", "class")] == [
        ("mi", "softmax"),
        ("mtext", "class"),
    ]


def test_two_names_in_a_row_are_set_apart() -> None:
    tree = ElementTree.fromstring(mathml(r"\log\operatorname*{softmax}_{\mathrm{class}} \left(z\right)"))
    assert [node.tag for node in tree[0]][:3] == ["mi", "mspace", "msub"]


def test_a_line_per_named_part() -> None:
    loss = Loss.from_text("dense: p := cross_entropy(logits, target); p * exp(-p)")
    first, last = Formula.of(loss).lines
    assert "".join(ElementTree.fromstring(first).itertext()).startswith("t1=cross-entropy")
    assert "".join(ElementTree.fromstring(last).itertext()).startswith("\N{SCRIPT SMALL L}=")


def test_other_markup_is_refused() -> None:
    with pytest.raises(ValueError, match="script is no element of presentation MathML"):
        mathml(r"\text{<script>alert(1)</script>}")


def test_links_are_dropped() -> None:
    assert mathml(r"\href{file:x}{z}") == mathml("{{z}}")
