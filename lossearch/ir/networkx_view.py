"""Graphs in NetworkX: for graph algorithms, subgraph operations and drawing."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable

import networkx as nx

from lossearch.ir.expr import Expr, postorder
from lossearch.ir.latex_form import number


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
    """What a drawing writes on a node."""
    if node.op == "constant":
        return number(node.attr("value"))
    if node.op in ("input", "parameter"):
        return node.attr("name")
    over = dict(node.attrs).get("over")
    return f"{node.op}\n{', '.join(over)}" if isinstance(over, tuple) else node.op


def common_subexpressions(first: Expr, second: Expr) -> list[Expr]:
    """The largest expressions that both graphs contain, inputs, parameters and constants apart; arguments first."""
    shared = set(postorder((first,))) & set(postorder((second,)))
    inner = to_networkx((first, second)).subgraph(node for node in shared if node.args)
    largest = {node for node in inner if inner.out_degree(node) == 0}
    return [node for node in postorder((first,)) if node in largest]


def users(root: Expr) -> Counter[Expr]:
    """How often each node is used as an argument; more than once means that it is shared."""
    return Counter(dict(to_networkx((root,)).out_degree()))


def layers(root: Expr) -> dict[Expr, int]:
    """The length of the longest path from a leaf to each node: its layer in a drawing."""
    found: dict[Expr, int] = {}
    for node in postorder((root,)):
        found[node] = 1 + max((found[argument] for argument in node.args), default=-1)
    return found


def layout(root: Expr) -> dict[Expr, tuple[float, float]]:
    """Positions for a drawing with leaves at the bottom: layers as rows, nodes of a row side by side."""
    graph = to_networkx((root,))
    nx.set_node_attributes(graph, layers(root), "layer")
    placed = nx.multipartite_layout(graph, subset_key="layer", align="horizontal")
    return {node: (float(x), float(y)) for node, (x, y) in placed.items()}
