"""What a module compiles for one kind of call: integer labels or a distribution, masked or not, weighted or not."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from lossearch.compile.class_weights import (
    CLASS_WEIGHT,
    divides_by_labels,
    has_classes,
    label_axes,
    of_label,
    one_vs_rest,
    weight_node,
    weighted_inside,
)
from lossearch.compile.fusion import add_at_labels, fuse_errors, fuse_nll, fuse_variations, share_orders
from lossearch.compile.reduction import Reduction, reduced
from lossearch.compile.source import Source, emit_roots
from lossearch.compile.spaceless import without_space
from lossearch.compile.targets import signed, takes_signs
from lossearch.errors import UserError
from lossearch.ir.core.axes import Axes
from lossearch.ir.core.expr import Expr, map_nodes
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.interval import Interval
from lossearch.ir.rewriting.lowering import (
    DENSE_TABLE,
    LABEL_TABLE,
    guard,
    label_input,
    lower,
    masked_graph,
    share_softmax,
)
from lossearch.ir.rewriting.masking import check_places, mask_node

SAMPLE_WEIGHT = "sample_weight"
WEIGHTS = Interval(0.0, 1e4)


@dataclass(frozen=True)
class Variant:
    """One kind of call.

    Attributes:
        labels: Whether the target is integer labels.
        masked: Whether some elements are ignored; the function then takes a `mask` of ones and zeros.
        class_weight: Whether class weights multiply a loss that does not use them itself.
        sample_weight: Axes of a weight given with the call, or none.
        space: Whether there are spatial axes; without, `space` need not stand for one of length one.
        strict: Whether PyTorch's kernels for labels, where they serve, are to refuse what is no class.
    """

    labels: bool = False
    masked: bool = False
    class_weight: bool = False
    sample_weight: Axes = ()
    space: bool = True
    strict: bool = False


@dataclass(frozen=True)
class Lowered:
    """A loss in elementary operators.

    Attributes:
        root: The loss of each element.
        weights: Their product weighs the elements in a reduction.
        share: By what a mean divides beside the weights, or None.
    """

    root: Expr
    weights: list[Expr]
    share: Expr | None = None


def lowered_for(graph: Graph, variant: Variant) -> Lowered:
    """The root of a graph in elementary operators, and the weights with which its elements enter a reduction."""
    inside = weighted_inside(graph, variant.labels) if variant.class_weight else None
    lowered = lower(inside or graph, labels=variant.labels, masked=variant.masked)
    root = lowered.root
    weights = [] if lowered.weight is None else [lowered.weight]
    if not variant.labels and takes_signs(graph):
        target = label_input(graph)
        assert target is not None
        root, *weights = (one.substitute({target.node: signed(target.node)}) for one in lowered.roots)
    if variant.masked:
        target = label_input(graph)
        assert target is not None
        check_places(graph.expanded(), mask_node(label_axes(target)), reduced=True)
        kept = masked_graph(inside or graph)[1]
        if kept is not None:
            weights.append(kept)
    share: Expr | None = None
    if inside is not None:
        share = of_label(graph) if divides_by_labels(graph, variant.labels) else None
    elif variant.class_weight and one_vs_rest(graph):
        root = root * weight_node(graph)
    elif variant.class_weight:
        weights.append(weight_node(graph) if has_classes(graph) else of_label(graph))
    if variant.sample_weight:
        lower_end, upper = WEIGHTS
        leaf = Expr.make("input", name=SAMPLE_WEIGHT, axes=variant.sample_weight, lower=lower_end, upper=upper)
        weights.append(leaf)
    return Lowered(root, weights, share)


def source_of(graph: Graph, variant: Variant, reduction: Reduction, name: str = "loss") -> Source:
    """The function that a module calls: everything from inputs to the reduced loss. Parameters must be learnable."""
    lowered = lowered_for(graph, variant)
    order = [declared.name for declared in graph.signature.inputs]
    learnable = {parameter.name for parameter in graph.parameters}
    roots = tidied([reduced(lowered.root, lowered.weights, reduction, lowered.share)], variant.labels)
    if not variant.space:
        roots = without_space(roots) or roots
    roots = fuse_variations(share_orders(fuse_errors(roots)))
    if variant.labels:
        roots = add_at_labels(roots)
    source = emit_roots(roots, order, learnable, name)
    fused = fuse_nll(roots, variant.strict) if variant.labels and not source.flat else roots
    return source if fused == roots else emit_roots(fused, order, learnable, name)


def tidied(roots: Sequence[Expr], labels: bool) -> list[Expr]:
    """Lowered expressions after something was built on top of them: rewritten and guarded again, work shared."""
    rewritten = map_nodes((LABEL_TABLE if labels else DENSE_TABLE).rewrite(roots), guard)
    return share_softmax(rewritten)


def check_class_weight(graph: Graph, given: bool) -> None:
    """Refuse class weights that are missing, or that cannot multiply the elements of a loss."""
    if graph.uses(CLASS_WEIGHT):
        if not given:
            raise UserError("class weights `weight`[class]", "none", "this loss uses them: give `weight`")
        return
    if not given:
        return
    target = label_input(graph)
    if target is None:
        raise UserError("no `weight`", "class weights", f"signature {graph.signature.name} has no classes")
    if target.labels not in graph.root.axes and not set(label_axes(target)) <= set(graph.root.axes):
        raise UserError(
            f"a loss with a value per {' and '.join(label_axes(target))} or per class to multiply by `weight`",
            f"one with axes [{', '.join(graph.root.axes)}]",
            "use a loss that takes class weights itself, or leave `weight` out",
        )
