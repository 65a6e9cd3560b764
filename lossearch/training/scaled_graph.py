"""Losses times the factor that gives them a wanted gradient, as a part of their formulas."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

from lossearch.ir.core.expr import Expr, constant
from lossearch.ir.core.graph import Graph

_DIGITS = 4  # of a factor that becomes part of a formula: it decides the step size to 1 in 10,000


def scaled_to(wanted: float, graph: Graph, size: Callable[[Graph], float]) -> tuple[Graph, float] | None:
    """A loss times the factor that gives it a wanted size, and by how much it differs from the loss as it was given.

    Losses that differ in a constant factor become the same loss, but for their signs.

    Args:
        wanted: RMS gradient.
        graph: the loss.
        size: RMS gradient of a loss.

    Returns:
        None for a loss whose gradient vanishes or is not finite.
    """
    factor, bare = _without_factor(graph)
    found = size(bare)
    if not (math.isfinite(found) and found > 0.0):
        return None
    scale = math.copysign(float(f"{wanted / found:.{_DIGITS}g}"), factor)
    return bare if scale == 1.0 else _times(bare, scale), scale / factor


def _without_factor(graph: Graph) -> tuple[float, Graph]:
    """A constant that multiplies the whole loss, and the rest: losses that differ in that alone are trained alike."""
    factor, root = 1.0, graph.root
    while (parts := _factor_of(root)) is not None and math.isfinite(factor * parts[0]) and factor * parts[0] != 0.0:
        factor, root = factor * parts[0], parts[1]
    weights: Sequence[Expr] = graph.roots[1:]
    return factor, graph if root is graph.root else graph.with_roots([root, *weights])


def _factor_of(root: Expr) -> tuple[float, Expr] | None:
    if root.op == "neg":
        return -1.0, root.args[0]
    if root.op == "mul" and _is_constant(root.args[0]) and not _is_constant(root.args[1]):
        return root.args[0].attr("value"), root.args[1]
    if root.op == "mul" and _is_constant(root.args[1]) and not _is_constant(root.args[0]):
        return root.args[1].attr("value"), root.args[0]
    if root.op == "div" and _is_constant(root.args[1]) and root.args[1].attr("value") != 0.0:
        return 1.0 / root.args[1].attr("value"), root.args[0]
    return None


def _is_constant(node: Expr) -> bool:
    return node.op == "constant"


def _times(graph: Graph, factor: float) -> Graph:
    """The graph with its value, but no weight of the mean over it, multiplied."""
    root, *weights = graph.roots
    return graph.with_roots([constant(factor) * root, *weights])
