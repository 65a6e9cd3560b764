"""Weighted combinations of losses, with weights that are constant or follow a schedule over the training."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from pydantic import Field

from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.parameter import NON_NEGATIVE, Parameter
from lossearch.ir.core.signature import PROGRESS
from lossearch.ir.operators import functions as fn
from lossearch.meta.kinds.kind import KINDS, Kind
from lossearch.meta.learnable import Learnable, opened
from lossearch.plain_text import is_name
from lossearch.search_spaces.space import Constants
from lossearch.zoo.named import graph_of

LARGEST_WEIGHT = 10.0


class Combination(Kind):
    """Σ_k w_k(s)·L_k with weights w_k ≥ 0; the structure is L_0, with which it begins: w_0 = 1, the others 0.

    Attributes:
        others: the losses that are added to the structure, hand-designed ones with arguments or text forms.
        knots: of each weight over the training: 1 is constant, 2 goes linearly from its first value to its last, more
            are piecewise linear in equal parts.
        coefficients: whether the losses' own coefficients are learned too.
    """

    others: tuple[str, ...] = Field(min_length=1, max_length=32)
    knots: int = Field(default=1, ge=1, le=16)
    coefficients: bool = False

    def learnable(self, structure: str, constants: Constants) -> Learnable:
        """See `Kind`."""
        texts = (structure, *self.others)
        labels = _labels(texts)
        graphs = [
            _prefixed(opened(text, constants), label) if self.coefficients else graph_of(text)
            for text, label in zip(texts, labels, strict=True)
        ]
        first = graphs[0]
        for text, graph in zip(texts, graphs, strict=True):
            if graph.signature != first.signature:
                found = f"{text[:80]!r} of signature {graph.signature.name}"
                raise UserError(f"losses of signature {first.signature.name}, to be combined", found, "leave it out")
            if graph.weight != first.weight:
                found = f"{text[:80]!r}, whose elements weigh otherwise than those of {structure[:80]!r}"
                raise UserError("losses whose elements have the same weights, to be combined", found, "leave it out")
        total: Expr | None = None
        parameters: list[Parameter] = []
        for place, (graph, label) in enumerate(zip(graphs, labels, strict=True)):
            own = _weights(label, self.knots, 0.0 if place else 1.0)
            term = scheduled([weight.node for weight in own]) * graph.root
            total = term if total is None else total + term
            parameters += [*own, *graph.parameters]
        assert total is not None
        return Learnable(Graph(first.signature, total, tuple(parameters), first.weight))


KINDS.add("combination", Combination)


def scheduled(knots: Sequence[Expr]) -> Expr:
    """The value that goes linearly from knot to knot over a training, the knots at equal distances."""
    total, parts = knots[0], len(knots) - 1
    for place in range(parts):
        passed = fn.clamp(PROGRESS.node * float(parts) - float(place), 0.0, 1.0) if parts > 1 else PROGRESS.node
        total = total + (knots[place + 1] - knots[place]) * passed
    return total


def _weights(label: str, knots: int, start: float) -> list[Parameter]:
    names = [f"weight_{label}"] if knots == 1 else [f"weight_{label}_{k}" for k in range(knots)]
    likely = (0.0, 2.0 * start or 1.0)
    return [
        Parameter(name, start, 0.0, LARGEST_WEIGHT, tunable=True, search=likely, defined=NON_NEGATIVE) for name in names
    ]


def _labels(texts: Sequence[str]) -> list[str]:
    """What each loss is called in the names of weights: its name, or a number where it has none of its own."""
    names = [text.partition("(")[0].strip() for text in texts]
    return [name if is_name(name) and names.count(name) == 1 else f"loss{place}" for place, name in enumerate(names)]


def _prefixed(graph: Graph, label: str) -> Graph:
    """The graph with parameters called by loss and name."""
    renamed = {p: replace(p, name=f"{label}_{p.name}") for p in graph.parameters}
    nodes = {p.node: q.node for p, q in renamed.items()}
    root, *weights = (root.substitute(nodes) for root in graph.roots)
    return Graph(graph.signature, root, tuple(renamed.values()), *weights)
