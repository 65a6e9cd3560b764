"""The shortest way to write a loss: it is collected in several exact ways, and what is least to read is kept."""

from __future__ import annotations

from collections.abc import Iterator

from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.operator import OPERATORS
from lossearch.ir.core.types import IllTyped
from lossearch.ir.rewriting.collecting import COLLECTING, DISTRIBUTING, ON_LABELS
from lossearch.ir.rewriting.lowering import label_input, lower, masked_graph, with_labels
from lossearch.ir.rewriting.naming import Known, cost, named
from lossearch.ir.rewriting.ranges import graph_out_of_range
from lossearch.ir.rewriting.rule import Table

MOST_NODES = 400
"""Nodes of a loss that is simplified, primitives expanded; those of a search have less than fifty."""

MOST_ROUNDS = 8

_TABLES = (COLLECTING, DISTRIBUTING + COLLECTING)
_LABEL_TABLES = (ON_LABELS + COLLECTING, ON_LABELS + DISTRIBUTING + COLLECTING)


def shortest(graph: Graph, labels: bool = False) -> Graph:
    """The graph in the shortest form that is found: fewest distinct operators and primitives, then shortest text.

    Value and gradient stay as they are, for every input; with `labels` where each target is one label.

    Raises:
        UserError: a graph that is much larger than any that is read; `labels` for a signature without any.
    """
    size = len(graph.expanded().nodes)
    if size > MOST_NODES:
        raise UserError(f"a loss of at most {MOST_NODES} nodes to simplify", str(size), "simplify its parts")
    if labels and label_input(graph) is None:
        name = graph.signature.name
        raise UserError("a loss whose target may be labels", f"signature {name}", "simplify it without labels")
    best, known, seen = graph, Known(), set[Graph]()
    for _ in range(MOST_ROUNDS):
        ways = (other for other in _ways(best, labels, known, seen) if cost(other) < cost(best))
        shorter = next((other for other in sorted(ways, key=cost) if _is_sound(graph, other, labels)), None)
        if shorter is None:
            break
        best = shorter
    return best


def _ways(graph: Graph, labels: bool, known: Known, seen: set[Graph]) -> Iterator[Graph]:
    """The graph collected as it is, with one primitive opened, and with all of them."""
    calls = sorted({node.op for node in graph.nodes if OPERATORS[node.op].expand is not None})
    opened = [graph, graph.expanded(), *(_opened(graph, name) for name in calls[: len(calls) if len(calls) > 1 else 0])]
    for start in opened:
        for table in _TABLES:
            yield from _collected(start, table, labels=False, known=known, seen=seen)
        for table in _LABEL_TABLES if labels else ():
            yield from _collected(start, table, labels=True, known=known, seen=seen)


def _collected(start: Graph, table: Table, *, labels: bool, known: Known, seen: set[Graph]) -> Iterator[Graph]:
    """The graph rewritten by a table, and with names for what has one; on labels, its target is one-hot meanwhile."""
    try:
        if labels:
            start, back = _with_one_hot(start)
            rewritten = [root.substitute(back) for root in table.rewrite(start.roots)]
            plain = start.with_roots(COLLECTING.rewrite(rewritten))
        else:
            plain = start.with_roots(table.rewrite(start.roots))
        if plain not in seen:
            seen.add(plain)
            yield plain
            yield named(plain, COLLECTING, known)
    except IllTyped:  # a bound that is known of labels or of the longer form only
        return


def _with_one_hot(graph: Graph) -> tuple[Graph, dict[Expr, Expr]]:
    """The graph of one-hot targets, and what makes them targets again."""
    target = label_input(graph)
    assert target is not None
    changed = with_labels(graph, target)
    return changed, {node: target.node for node in changed.nodes if node.op == "one_hot"}


def _opened(graph: Graph, name: str) -> Graph:
    """The graph with every call of one primitive replaced by its body."""

    def change(node: Expr) -> Expr:
        expand = OPERATORS[node.op].expand
        return expand(*node.args, **dict(node.attrs)) if node.op == name and expand is not None else node

    try:
        return graph.map(change)
    except IllTyped:
        return graph


def _is_sound(graph: Graph, other: Graph, labels: bool) -> bool:
    """Whether another form can do all that the graph can: be lowered, leave elements out, and stay in range."""
    if [root.type[0] for root in other.roots] != [root.type[0] for root in graph.roots]:
        return False
    if not any(leaf.op == "input" for leaf in other.root.leaves):  # a loss that is a number, which nothing can train
        return False
    if graph_out_of_range(other) is not None and graph_out_of_range(graph) is None:
        return False
    return all(not _works(graph, one, masked) or _works(other, one, masked) for one, masked in _uses(graph, labels))


def _uses(graph: Graph, labels: bool) -> list[tuple[bool, bool]]:
    """With labels or without, and with a mask or without."""
    forms = [True] if labels else [False] if label_input(graph) is None else [False, True]
    return [(one, masked) for one in forms for masked in (False, True)]


def _works(graph: Graph, labels: bool, masked: bool) -> bool:
    try:
        if masked:
            masked_graph(graph)
        lower(graph, labels, masked)
    except IllTyped:
        return False
    return True
