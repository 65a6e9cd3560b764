"""Lowering: from a graph of primitives to elementary operators, rewritten and guarded, ready to emit."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from functools import lru_cache

from lossearch.ir.core.axes import without
from lossearch.ir.core.expr import Expr, Remembered, postorder
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.operator import OPERATORS, Domain, guard_interval
from lossearch.ir.core.signature import Input
from lossearch.ir.core.types import IllTyped
from lossearch.ir.rewriting.masking import apply_mask, mask_node
from lossearch.ir.rewriting.simplification import SIMPLIFICATION
from lossearch.ir.rewriting.speed import LABELS, LINEAR
from lossearch.ir.rewriting.stability import STABILITY
from lossearch.ir.rewriting.verify import verify_lowered, verify_same_type

DENSE_TABLE = SIMPLIFICATION + STABILITY + LINEAR
LABEL_TABLE = DENSE_TABLE + LABELS


@lru_cache(maxsize=16)  # few: each keeps its graph alive, with all that is remembered on the nodes
def lower(graph: Graph, labels: bool = False, masked: bool = False) -> Graph:
    """The graph in elementary operators, simplified, stable and guarded.

    With `labels` the target is integer labels instead of a distribution. With `masked` an input `mask` over the
    label axes says which elements are kept. The types of the roots are checked to stay the same.
    """
    target = label_input(graph)
    expanded = masked_graph(graph)[0] if masked else graph.expanded()
    if labels:
        assert target is not None, "only signatures with a label axis have a label form"
        expanded = with_labels(expanded, target)
    rewritten = expanded.with_roots((LABEL_TABLE if labels else DENSE_TABLE).rewrite(expanded.roots))
    lowered = rewritten.with_roots(share_softmax(GUARDS(rewritten.roots)))
    verify_same_type(graph, lowered)
    verify_lowered(lowered)
    return lowered


@lru_cache(maxsize=1024)
def masked_graph(graph: Graph) -> tuple[Graph, Expr | None]:
    """The expanded graph without what an input `mask` over the label axes ignores, and which of its elements are kept.

    Raises `IllTyped` for a loss that cannot leave elements out.
    """
    target = label_input(graph)
    axes = without(target.axes, (target.labels,)) if target and target.labels else graph.root.axes
    return apply_mask(graph.expanded(), mask_node(axes))


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


def share_softmax(roots: Sequence[Expr]) -> list[Expr]:
    """One pass over the classes where both softmax and log-softmax of the same scores occur.

    exp(gather(log_softmax(x), y)) = gather(softmax(x), y) where nothing else needs the logarithm; otherwise
    softmax(x) = exp(log_softmax(x)).
    """
    current = list(roots)
    pairs: dict[tuple[Expr, object], dict[str, Expr]] = defaultdict(dict)
    for node in postorder(current):
        if node.op in ("softmax", "log_softmax"):
            pairs[node.args[0], node.attrs][node.op] = node
    for pair in pairs.values():
        if len(pair) == 2:
            current = _shared(current, pair["softmax"], pair["log_softmax"])
    return current


def _shared(roots: list[Expr], probability: Expr, log_probability: Expr) -> list[Expr]:
    users: dict[Expr, list[Expr]] = defaultdict(list)
    for node in postorder(roots):
        for argument in node.args:
            users[argument].append(node)
    gathers = users[log_probability]
    chosen = [user for gather in gathers for user in users[gather]]
    only_exp = all(g.op == "gather" and g not in roots for g in gathers) and all(c.op == "exp" for c in chosen)
    if only_exp and log_probability not in roots:
        replaced = {c: c.args[0].with_args((probability, c.args[0].args[1])) for c in chosen}
    else:
        replaced = {probability: Expr.make("exp", (log_probability,))}
    try:
        return GUARDS([root.substitute(replaced) for root in roots])
    except IllTyped:  # exp is not known to sum to one, on which a type further up may rest
        return roots


def _held(argument: Expr, domain: Domain) -> Expr:
    lower, upper = guard_interval(domain, argument.type.interval)
    if argument.lower < lower:
        argument = Expr.make("clamp_min", (argument,), lower=lower)
    if argument.upper > upper:
        argument = Expr.make("clamp_max", (argument,), upper=upper)
    return argument
