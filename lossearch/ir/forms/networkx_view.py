"""Graphs in NetworkX: for graph algorithms and subgraph operations. `lossearch.report.graph_drawing` draws graphs."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import networkx as nx

from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr, postorder
from lossearch.ir.core.operator import OPERATORS, axes_in
from lossearch.ir.forms.latex import number


def to_networkx(roots: Iterable[Expr]) -> nx.MultiDiGraph:
    """A directed graph with an edge from each argument to its user, the position of the argument as edge key.

    Nodes are the `Expr`s themselves, with attributes `label`, `op`, `axes` and `type` (its text).
    """
    graph = nx.MultiDiGraph()
    for node in postorder(tuple(roots)):
        graph.add_node(node, label=label(node), op=node.op, axes=node.axes, type=str(node.type))
        for position, argument in enumerate(node.args):
            graph.add_edge(argument, node, key=position)
    return graph


def label(node: Expr) -> str:
    """What a drawing writes on a node: a leaf's name or number, or an operator with its attributes below it."""
    if node.op == "constant":
        return number(node.attr("value"))
    if node.op in ("input", "parameter"):
        return node.attr("name")
    symbol = OPERATORS[node.op].symbol
    axes = [axis for _, value in node.attrs for axis in axes_in(value)]
    others = [f"{key}={value}" for key, value in node.attrs if not axes_in(value)]
    name = node.op if symbol is None else symbol[0]
    return "\n".join(filter(None, (name, ", ".join([*axes, *others]))))


def roots(graph: nx.MultiDiGraph) -> list[Expr]:
    """The expressions of a graph that are no other's argument."""
    return [node for node, uses in graph.out_degree() if uses == 0]


def below(graph: nx.MultiDiGraph, node: Expr) -> nx.MultiDiGraph:
    """The subgraph of all that `node` is made of, itself included, as a graph of its own."""
    _require(graph, node)
    return graph.subgraph(nx.ancestors(graph, node) | {node}).copy()


def replaced(graph: nx.MultiDiGraph, old: Expr, new: Expr) -> nx.MultiDiGraph:
    """The graph with `new` wherever `old` was used; all that used it is typed anew.

    Raises `IllTyped` where `new` does not fit, and `UserError` where the graph has no `old`.
    """
    _require(graph, old)
    return to_networkx(root.substitute({old: new}) for root in roots(graph))


def _require(graph: nx.MultiDiGraph, node: Expr) -> None:
    if node not in graph:
        raise UserError("a node of the graph", str(node), "take one of graph.nodes")


def common_subexpressions(first: Expr, second: Expr) -> list[Expr]:
    """The largest expressions that both graphs contain, inputs, parameters and constants apart; arguments first."""
    shared = set(postorder((first,))) & set(postorder((second,)))
    inner = to_networkx((first, second)).subgraph(node for node in shared if node.args)
    largest = {node for node in inner if inner.out_degree(node) == 0}
    return [node for node in postorder((first,)) if node in largest]


def users(root: Expr) -> Counter[Expr]:
    """How often each node is used as an argument; more than once means that it is shared."""
    return Counter(dict(to_networkx((root,)).out_degree()))
