"""Lowering: from a graph of primitives to elementary operators, rewritten and guarded, ready to emit."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from functools import lru_cache

from lossearch.ir.axes import without
from lossearch.ir.expr import Expr, Remembered, postorder
from lossearch.ir.graph import Graph
from lossearch.ir.interval import EPSILON
from lossearch.ir.masking import apply_mask, mask_node
from lossearch.ir.operator import OPERATORS, Domain
from lossearch.ir.signature import Input
from lossearch.ir.simplification import SIMPLIFICATION
from lossearch.ir.speed import LABELS, LINEAR
from lossearch.ir.stability import STABILITY
from lossearch.ir.verify import verify_lowered, verify_same_type

DENSE_TABLE = SIMPLIFICATION + STABILITY + LINEAR
LABEL_TABLE = DENSE_TABLE + LABELS


@lru_cache(maxsize=1024)
def lower(graph: Graph, labels: bool = False, masked: bool = False) -> Graph:
    """The graph in elementary operators, simplified, stable and guarded.

    With `labels` the target is integer labels instead of a distribution. With `masked` an input `mask` over the
    label axes says which elements are kept. The types of the roots are checked to stay the same.
    """
    target = label_input(graph)
    expanded = graph.expanded()
    if masked:
        axes = without(target.axes, (target.labels,)) if target and target.labels else graph.root.axes
        expanded = apply_mask(expanded, mask_node(axes))
    if labels:
        assert target is not None, "only signatures with a label axis have a label form"
        expanded = with_labels(expanded, target)
    rewritten = expanded.with_roots((LABEL_TABLE if labels else DENSE_TABLE).rewrite(expanded.roots))
    shared = rewritten.with_roots(share_softmax(rewritten.roots))
    guarded = shared.with_roots(GUARDS(shared.roots))
    verify_same_type(graph, guarded)
    verify_lowered(guarded)
    return guarded


def label_input(graph: Graph) -> Input | None:
    """The input that may be given as integer labels, if the signature has one."""
    return next((declared for declared in graph.signature.inputs if declared.labels), None)


def label_node(target: Input) -> Expr:
    """The input of integer labels that stands for a distribution."""
    assert target.labels is not None
    axes = without(target.axes, (target.labels,))
    return Expr.make("input", name=target.name, axes=axes, lower=0.0, upper=2.0**20, kind="index")


def with_labels(graph: Graph, target: Input) -> Graph:
    """The graph with the target as a one-hot form of integer labels."""
    assert target.labels is not None
    like = next(i.node for i in graph.signature.inputs if i is not target and target.labels in i.axes)
    one_hot = Expr.make("one_hot", (label_node(target), like), over=(target.labels,))
    replaced = {target.node: one_hot}
    return graph.with_roots([root.substitute(replaced) for root in graph.roots])


def share_softmax(roots: Sequence[Expr]) -> list[Expr]:
    """Where softmax(x) is computed anyway, exp(gather(log_softmax(x), y)) is gather(softmax(x), y).

    Unless log_softmax(x) has another use, one pass over the classes is saved.
    """
    nodes = postorder(roots)
    uses = Counter(argument for node in nodes for argument in node.args)
    present = {node for node in nodes if node.op == "softmax"}
    replaced: dict[Expr, Expr] = {}
    for node in nodes:
        if node.op != "exp" or node.args[0].op != "gather" or node.args[0].args[0].op != "log_softmax":
            continue
        chosen = node.args[0]
        logarithm = chosen.args[0]
        softmax = Expr.make("softmax", logarithm.args, over=logarithm.attr("over"))
        if softmax in present and uses[chosen] == 1 and uses[logarithm] == 1:
            replaced[node] = chosen.with_args((softmax, chosen.args[1]))
    return [root.substitute(replaced) for root in roots] if replaced else list(roots)


def guard(node: Expr) -> Expr:
    """Hold each argument away from poles, where its interval does not prove that it stays away."""
    operator = OPERATORS[node.op]
    intervals = [argument.type.interval for argument in node.args]
    domains = operator.domains(*intervals)
    if not domains:
        return node
    return node.with_args([_held(a, domain) for a, domain in zip(node.args, domains, strict=True)])


GUARDS = Remembered(guard)
"""Guards throughout a graph."""


def guard_only(graph: Graph) -> Graph:
    """The graph expanded and guarded, but not rewritten: quick to make, and what rewriting is tested against."""
    return graph.with_roots(GUARDS(graph.expanded().roots))


def _held(argument: Expr, domain: Domain) -> Expr:
    lower, upper = domain.guarded
    if domain.nonzero:
        lower, upper = (EPSILON, upper) if argument.lower >= 0.0 else (lower, -EPSILON)
    if argument.lower < lower:
        argument = Expr.make("clamp_min", (argument,), lower=lower)
    if argument.upper > upper:
        argument = Expr.make("clamp_max", (argument,), upper=upper)
    return argument
