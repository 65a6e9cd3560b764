"""How class weights enter a loss that does not use them itself: as PyTorch's losses of classes have it.

A loss with a value for each class has each multiplied by the class's weight. One with a value for each element has it
multiplied by the weight of the element's label, and its mean divides by the sum of these; for a soft target the weights
go into the sum over classes, and the mean divides by the number of elements.
"""

from __future__ import annotations

from lossearch.ir.core.axes import Axes, without
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.operator import OPERATORS, ClassWeights
from lossearch.ir.core.signature import Input
from lossearch.ir.operators import functions as fn
from lossearch.ir.rewriting.lowering import label_input, label_node

CLASS_WEIGHT = "class_weight"


def attribute(buffer: str) -> str:
    """What a module calls a tensor that the signature takes at construction: class weights as PyTorch does."""
    return "weight" if buffer == CLASS_WEIGHT else buffer


def one_vs_rest(graph: Graph) -> bool:
    """Whether there is a value for each element and class: such a loss is rescaled, as PyTorch's binary losses are."""
    target = label_input(graph)
    return target is not None and set(target.axes) <= set(graph.root.axes)


def label_axes(target: Input) -> Axes:
    """Axes of integer labels in place of a distribution."""
    assert target.labels is not None
    return without(target.axes, (target.labels,))


def weight_node(graph: Graph) -> Expr:
    """The class weights."""
    return graph.signature[CLASS_WEIGHT].node


def of_label(graph: Graph) -> Expr:
    """The weight of each element's label."""
    target = label_input(graph)
    assert target is not None
    assert target.labels is not None
    return Expr.make("gather", (weight_node(graph), label_node(target)), over=(target.labels,))


def has_classes(graph: Graph) -> bool:
    """Whether the loss keeps the class axis."""
    target = label_input(graph)
    return target is not None and target.labels in graph.root.axes


def weighted_inside(graph: Graph, labels: bool) -> Graph | None:
    """The graph with class weights in it, where they do not simply weigh its elements; None where they do."""
    target = label_input(graph)
    if target is None or has_classes(graph):
        return None
    way = OPERATORS[graph.root.op].class_weights
    if labels and way not in ("smoothed likelihood", "by number"):
        return None
    expanded, weight = graph.expanded(), weight_node(graph)
    root = expanded.root
    if way in _LIKELIHOODS:
        log_p = {node: weight * node for node in expanded.nodes if node.op == "log_softmax"}
        inside = root.substitute(log_p)
    else:
        within = None if way == "by number" else _into_sum(root, target.node, weight)
        inside = root * fn.contract(target.node, weight, target.labels or "") if within is None else within
    return graph.with_roots([inside, *([] if expanded.weight is None else [expanded.weight])])


def _into_sum(root: Expr, target: Expr, weight: Expr) -> Expr | None:
    """A sum over classes that is linear in the target, with the weights in it; None for another loss."""
    if root.op == "contract" and target in root.args:
        (other,) = (x for x in root.args if x is not target) if root.args[0] is not root.args[1] else (target,)
        linear = root.attr("over") == weight.axes and target not in other.leaves
        return fn.contract(target, weight * other, weight.axes) if linear else None
    if root.op == "neg" or (root.op in ("mul", "div") and not root.args[1].leaves):
        inner = _into_sum(root.args[0], target, weight)
        return None if inner is None else root.with_args((inner, *root.args[1:]))
    return None


def divides_by_labels(graph: Graph, labels: bool) -> bool:
    """Whether a mean divides by the weights of the labels though they are in the loss already."""
    return labels and OPERATORS[graph.root.op].class_weights in _LIKELIHOODS


_LIKELIHOODS: tuple[ClassWeights, ...] = ("likelihood", "smoothed likelihood")
