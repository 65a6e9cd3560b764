"""What a target means to a loss with classes: a distribution, labels, or each class by itself."""

from __future__ import annotations

from functools import lru_cache

from lossearch.ir.core.expr import Expr, postorder
from lossearch.ir.core.graph import Graph
from lossearch.ir.rewriting.lowering import label_input

CLASS = "class"
"""The axis of classes."""

SOFTMAX = frozenset({"softmax", "log_softmax", "logsumexp"})
"""Operators that set the classes against each other: over one class they are constant, or the score itself."""

SEVERAL_CLASSES = "two classes or more: over one, a softmax is 1 whatever the scores"
"""What a loss that shares probability between classes requires."""

BINARY = "binary_cross_entropy, binary_focal, binary_dice or binary_cross_entropy_dice"
"""Some of the hand-designed losses that judge each class by itself."""

OF_PLACES = frozenset({"size", "along", "position"})
"""Operators whose results depend on places or lengths along their axis alone, not on the values there."""

FOREGROUND = 2
"""How many labels there are beside a single class by itself: 0, where it is not, and 1."""


@lru_cache(maxsize=1024)
def class_by_class(graph: Graph) -> bool:
    """Whether a loss judges each class by itself, so that several may be true, or none, or a single one is enough.

    No operator of such a loss runs over the classes, other than a mean or sum of what comes out in the end.
    """
    target = label_input(graph)
    if target is None or target.labels is None or target.labels not in target.axes:
        return False
    expanded = graph.expanded()
    root = expanded.root
    while root.op in ("mean", "sum"):
        root = root.args[0]
    roots = [root] if expanded.weight is None else [root, expanded.weight]
    uses = any(target.labels in node.axes for node in roots)
    return uses and not any(_runs_over(node, target.labels) for node in postorder(roots))


def _runs_over(node: Expr, axis: str) -> bool:
    over = dict(node.attrs).get("over")
    return isinstance(over, tuple) and axis in over and node.op not in OF_PLACES


@lru_cache(maxsize=1024)
def needs_classes(graph: Graph) -> bool:
    """Whether a loss of class scores says nothing of a single class."""
    predicted = [one for one in graph.signature.forward_inputs if one.role == "prediction" and CLASS in one.axes]
    if not predicted:
        return False
    if any(node.op in SOFTMAX and _runs_over(node, CLASS) for node in graph.expanded().nodes):
        return True
    return label_input(graph) is not None and not class_by_class(graph)


@lru_cache(maxsize=1024)
def takes_signs(graph: Graph) -> bool:
    """Whether a target t enters as the sign 2t - 1: then -1 may stand for 0, as in PyTorch's losses of a margin."""
    target = label_input(graph)
    if target is None or not class_by_class(graph):
        return False
    doubled = (2.0 * target.node, target.node * 2.0)
    return any(
        node.op == "sub" and node.args[0] in doubled and _is_one(node.args[1]) for node in graph.expanded().nodes
    )


def signed(target: Expr) -> Expr:
    """A target in which -1 stands for 0: in [0, 1] as before, whatever sign it comes with."""
    attributes = {**dict(target.attrs), "lower": -1.0, "simplex": ""}
    return Expr.make("clamp_min", (Expr.make("input", **attributes),), lower=0.0)


def _is_one(node: Expr) -> bool:
    return node.is_constant and node.attr("value") == 1.0
