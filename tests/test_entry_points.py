"""Primitives and operators of other installed packages are found wherever a loss may name them."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from torch import tensor

import lossearch
from lossearch.engine.driver.search import plan_search
from lossearch.ir import OPERATORS
from lossearch.ir.core.primitive import PRIMITIVES
from lossearch.ir.rewriting.lowering import lower
from lossearch.ir.rewriting.simplification import SIMPLIFICATION
from lossearch.loss import Loss

MODULE = '''
from lossearch.ir import Expr, elementwise, primitive
from lossearch.ir import functions as fn


@primitive(family="other")
def other_error(logits: Expr, target: Expr) -> Expr:
    """Cubed distance of the probabilities from the target, summed over classes."""
    return fn.sum(Expr.make("other_cube", (abs(fn.softmax(logits, "class") - target),)), "class")


elementwise(
    "other_cube",
    1,
    "{0} ** 3",
    "The cube.",
    slopes=lambda a: (3.0 * a.magnitude**2,),
    value=lambda a: a**3,
)
'''
TEXT = "dense: other_cube(other_error(logits, target))"
SPACE = """
name = "other"
signature = "dense"
terminals = {E = {"other_error(logits, target)" = 1.0}, K = {"softmax(logits, over=class)" = 1.0}}
templates = {E = {"other_cube(E)" = 1.0}, K = {"K * K" = 1.0}}
"""


def forget() -> None:
    """As in a process that has not met the package."""
    for name in ("other_error", "other_cube"):
        OPERATORS.pop(name, None)
        PRIMITIVES.pop(name, None)
    sys.modules.pop("other_losses", None)
    PRIMITIVES.forget_extensions()


@pytest.fixture(autouse=True)
def other_package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """An installed distribution with an entry point; what it registers is taken back at the end."""
    (tmp_path / "other_losses.py").write_text(MODULE, encoding="utf-8")
    info = tmp_path / "other-1.0.dist-info"
    info.mkdir()
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: other\nVersion: 1.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[lossearch.primitives]\nother = other_losses\n", encoding="utf-8")
    monkeypatch.syspath_prepend(tmp_path)
    forget()
    yield
    forget()


def test_a_text_may_use_them() -> None:
    module = lossearch.load(TEXT).to_module()
    assert module(tensor([[0.0, 0.0]]), tensor([0])).item() == pytest.approx(0.25**3)


def test_a_document_may_use_them() -> None:
    document = Loss.from_text(TEXT).to_json()
    forget()
    assert Loss.from_json(document).to_text() == TEXT


def test_a_search_may_build_with_them(tmp_path: Path) -> None:
    space = tmp_path / "space.toml"
    space.write_text(SPACE, encoding="utf-8")
    plan = plan_search({"task": "digits", "generations": 1, "space": str(space), "method": {"name": "random"}})
    assert any("other: 0 seeds" in line for line in plan.lines)


def test_what_rewriting_and_text_know_of_operators_they_know_of_theirs() -> None:
    PRIMITIVES.extend()
    folded = Loss.from_text("dense: cross_entropy(logits, target) * other_cube(2.0)").graph
    assert (
        SIMPLIFICATION.rewrite(folded.roots)[0]
        is Loss.from_text("dense: cross_entropy(logits, target) * 8.0").graph.root
    )
    labels = lower(Loss.from_text("dense: sum(target * other_cube(logits), over=class)").graph, labels=True)
    assert {"gather", "other_cube"} <= {node.op for node in labels.nodes}
    (cubed,) = (node for node in labels.nodes if node.op == "other_cube")
    assert "class" not in cubed.axes
