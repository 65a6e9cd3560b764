"""Constants as inputs, so that one compiled structure serves every graph that differs in its numbers only."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from lossearch.ir.expr import Expr, postorder
from lossearch.ir.graph import Graph, Parameter
from lossearch.ir.interval import EPSILON
from lossearch.ir.types import IllTyped

LARGEST = 1e4


def structure(graph: Graph, learnable: bool = False) -> tuple[Graph, dict[str, float]]:
    """A graph whose non-structural constants are parameters `c0`, `c1` …, and their values here.

    Graphs that differ only in such constants give the same structure. A constant keeps its place where its exact
    value is part of the structure: 0 and ±1, exponents that are whole numbers, values beyond ±1e4, and wherever a
    mere range would make the graph ill-typed. Apply it to lowered graphs, whose guards are decided already. With
    `learnable` the parameters are tensors, through which gradients flow.
    """
    taken = {parameter.name for parameter in graph.parameters}
    values: dict[str, float] = {}
    for node, as_parameter in list(candidates(graph.roots)):
        name = f"c{len(values)}"
        while name in taken:
            name += "_"
        lower, upper = constant_range(as_parameter)
        parameter = Parameter(name, as_parameter, lower, upper, learnable=learnable)
        try:
            roots = [root.substitute({node: parameter.node}) for root in graph.roots]
        except IllTyped:
            continue
        graph = Graph(graph.signature, roots[0], (*graph.parameters, parameter), *roots[1:])
        values[name] = as_parameter
    return graph.bind({name: _reference(value) for name, value in values.items()}), values


def candidates(roots: Sequence[Expr]) -> Iterator[tuple[Expr, float]]:
    """Constants whose exact value is not part of the structure, with their values."""
    nodes = postorder(roots)
    exponents = {node.args[1] for node in nodes if node.op == "pow"}
    for node in nodes:
        if node.op != "constant":
            continue
        value: float = node.attr("value")
        whole = node in exponents and value == int(value)
        if value not in (0.0, 1.0, -1.0) and EPSILON <= abs(value) <= LARGEST and not whole:
            yield node, value


def sign_range(value: float) -> tuple[float, float]:
    """All constants of one sign."""
    return (EPSILON, LARGEST) if value > 0.0 else (-LARGEST, -EPSILON)


def constant_range(value: float) -> tuple[float, float]:
    """The class of a constant: its sign, and whether its size is below or above one."""
    lower, upper = (EPSILON, 1.0) if abs(value) < 1.0 else (1.0, LARGEST)
    return (lower, upper) if value > 0.0 else (-upper, -lower)


def _reference(value: float) -> float:
    """One default for every constant of a class, so that equal structures are equal graphs with equal keys."""
    return constant_range(value)[value < 0.0]
