"""Range check: whether value and gradient of a graph stay finite in float32 over the whole declared domain.

Bounds on every node's value come from its type. Bounds on every adjoint (∂root/∂node) come from one sweep from the
root down, with each operator's own bound on its local derivative and with sums over broadcast axes.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Sequence

from lossearch.ir.core.axes import LARGEST_AXIS
from lossearch.ir.core.expr import Expr, postorder
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.interval import times
from lossearch.ir.core.operator import OPERATORS, guard_interval

LARGEST_VALUE = 1e36
"""A little below float32's largest number, 3.4e38."""


def out_of_range(roots: Sequence[Expr], wrt: Collection[Expr] | None = None) -> str | None:
    """Why value or gradient may overflow float32, or None where both are proven finite.

    `wrt` are the leaves to which gradients flow; by default all of them.
    """
    nodes = postorder(roots)
    fixed = set() if wrt is None else {node for node in nodes if node.leaves.isdisjoint(wrt)}
    adjoints = dict.fromkeys(nodes, 0.0)
    for root in roots:
        adjoints[root] = 1.0
    for node in reversed(nodes):
        magnitude = node.type.interval.magnitude
        if not magnitude <= LARGEST_VALUE:
            return f"the value of {node.op} may reach {magnitude:.0e}"
        if node in fixed:
            continue
        if not adjoints[node] <= LARGEST_VALUE:
            return f"the gradient at {node.op} may reach {adjoints[node]:.0e}"
        if node.args:
            _descend(node, adjoints)
    return None


def graph_out_of_range(graph: Graph) -> str | None:
    """As `out_of_range`, for a graph's expanded roots and the gradients that flow to its predictions."""
    predictions = [declared.node for declared in graph.signature.inputs if declared.role == "prediction"]
    return out_of_range(graph.expanded().roots, predictions)


def _descend(node: Expr, adjoints: dict[Expr, float]) -> None:
    adjoint = adjoints[node]
    for argument, factor in _factors(node):
        reached = times(adjoint, factor)
        adjoints[argument] += math.inf if math.isnan(reached) else reached


def _factors(node: Expr) -> list[tuple[Expr, float]]:
    """By how much an adjoint grows on its way to each argument at most; remembered on the node."""
    found: list[tuple[Expr, float]] | None = node.memo.get(_factors)
    if found is not None:
        return found
    operator = OPERATORS[node.op]
    intervals = [argument.type.interval for argument in node.args]
    domains = operator.domains(*intervals)
    if domains:
        intervals = [guard_interval(d, i) for d, i in zip(domains, intervals, strict=True)]
    slopes = operator.slopes(*intervals, **dict(node.attrs))
    found = node.memo[_factors] = [
        (argument, slope * (LARGEST_AXIS if operator.elementwise and argument.axes != node.axes else 1))
        for argument, slope in zip(node.args, slopes, strict=True)
        if not argument.is_constant and slope != 0.0
    ]
    return found
