"""Weights on the edges of an expression, after whose learning a shorter formula is read back."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from pydantic import Field

from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr, postorder
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.parameter import Parameter
from lossearch.ir.core.scale import round_to_digits
from lossearch.ir.core.types import IllTyped
from lossearch.ir.rewriting.shortest import MOST_NODES, shortest
from lossearch.ir.rewriting.simplification import SIMPLIFICATION
from lossearch.meta.kinds.kind import KINDS, Kind
from lossearch.meta.learnable import Learnable, without_zeros
from lossearch.search_spaces.space import Constants
from lossearch.zoo.named import graph_of

HOMOGENEOUS = ("neg", "mul", "div", "sum", "mean", "contract")
"""Operators out of which a factor on an argument can be taken: its weight is that of the edge that leaves them."""

_LOWEST, _HIGHEST = 0.05, 3.0
_READ_DIGITS = 3


class Edges(Kind):
    """Every edge of the structure gets a weight that begins at 1: the transition procedure of EvoMAL (Raymond 2023).

    An edge is an argument of an operator. Those into products, quotients, signs and sums over axes have none of their
    own, as the edge that leaves them says the same, nor have exponents. Weights are 0 or more, and above 0 where the
    formula needs that. What is proposed is a formula again: weights near 1 are dropped, terms with weights near 0 are
    pruned, and the rest is read back in its shortest form.

    Attributes:
        expanded: open the primitives, so that edges within them have weights too.
        tolerance: how near to 1 or 0 a weight counts as that.
    """

    expanded: bool = True
    tolerance: float = Field(default=0.05, ge=0.0, lt=0.5)

    def learnable(self, structure: str, constants: Constants) -> WeightedEdges:
        """See `Kind`."""
        return WeightedEdges(graph_of(structure), self.expanded, self.tolerance)


KINDS.add("edges", Edges)


class WeightedEdges(Learnable):
    """A loss with weighted edges.

    Args:
        graph: the loss, without parameters.
        expanded: whether edges within its primitives have weights too.
        tolerance: how near to 1 or 0 a weight counts as that when the formula is read back.

    Raises:
        UserError: no edge can have a weight.
    """

    def __init__(self, graph: Graph, expanded: bool, tolerance: float) -> None:
        self._structure, self._tolerance = graph, tolerance
        super().__init__(with_edge_weights(graph.expanded() if expanded else graph))

    def read(self, point: Sequence[float]) -> Graph:
        """The formula at a point, without weights near 1 and terms with weights near 0."""
        numbers = {name: self._rounded(value) for name, value in self.numbers_at(point).items()}
        bounds = {p.name: (p.lower, p.upper) for p in self.coefficients}
        held = {name: min(max(value, bounds[name][0]), bounds[name][1]) for name, value in numbers.items()}
        if all(value == 1.0 for value in held.values()):
            return self._structure
        graph = without_zeros(self.graph.bind(held).frozen())
        graph = graph.with_roots(SIMPLIFICATION.rewrite(graph.roots))
        return shortest(graph) if len(graph.expanded().nodes) <= MOST_NODES else graph

    def _rounded(self, value: float) -> float:
        near = next((end for end in (1.0, 0.0) if abs(value - end) <= self._tolerance), None)
        return round_to_digits(value, _READ_DIGITS) if near is None else near


def with_edge_weights(graph: Graph) -> Graph:
    """The graph with a parameter on every edge that can have one.

    Raises:
        UserError: none can.
    """
    nodes = postorder(graph.roots)
    weights: dict[tuple[Expr, int], Parameter] = {}
    roots: list[Expr] = list(graph.roots)
    for node in nodes:
        for position, argument in enumerate(node.args):
            if not _has_weight(node, position, argument):
                continue
            for parameter in _openings(f"e{len(weights)}"):
                try:
                    changed = _weighted(graph.roots, {**weights, (node, position): parameter})
                except IllTyped:
                    continue
                if [root.axes for root in changed] == [root.axes for root in graph.roots]:
                    weights[node, position], roots = parameter, changed
                    break
    if not weights:
        raise UserError("a loss with an edge that can have a weight", "none", "choose another structure")
    return Graph(graph.signature, roots[0], tuple(weights.values()), *roots[1:])


def _has_weight(node: Expr, position: int, argument: Expr) -> bool:
    if node.op in HOMOGENEOUS or argument.type.kind != "real":
        return False
    return not (node.op == "pow" and position == 1)


def _openings(name: str) -> Iterator[Parameter]:
    """What a weight may be, the most free first."""
    for low in (0.0, _LOWEST):
        yield Parameter(name, 1.0, low, _HIGHEST, tunable=True, search=(low, 2.0 - low))


def _weighted(roots: Sequence[Expr], weights: dict[tuple[Expr, int], Parameter]) -> list[Expr]:
    done: dict[Expr, Expr] = {}
    for node in postorder(roots):
        arguments = [
            weights[node, position].node * done[argument] if (node, position) in weights else done[argument]
            for position, argument in enumerate(node.args)
        ]
        done[node] = node.with_args(arguments)
    return [done[root] for root in roots]
