"""Shorter losses near a loss: without one of its terms, or with numbers of two digits."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from lossearch.ir.core.expr import Expr, constant
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.joint import AnyGraph, JointGraph
from lossearch.ir.core.places import Place, places, replace_at
from lossearch.ir.core.types import IllTyped
from lossearch.ir.forms.text import format_expression
from lossearch.ir.rewriting.linear import Linear, linear, written
from lossearch.ir.rewriting.ranges import graph_out_of_range

DIGITS = 2


@dataclass(frozen=True)
class Variation:
    """A loss in which something is left out or rounded.

    Attributes:
        change: what, in words.
        graph: the loss.
    """

    change: str
    graph: AnyGraph


Variations = Callable[[Graph], list[Variation]]
"""The shorter losses near a loss."""


def of_candidate(graph: AnyGraph, variations: Variations) -> list[Variation]:
    """The shorter losses near a candidate; of one for several slots those of each slot beside the other losses."""
    if not isinstance(graph, JointGraph):
        return variations(graph)
    return [
        Variation(f"{one.change} in {slot}", graph.with_slot(slot, one.graph))
        for slot, part in graph.items()
        for one in variations(part)
        if not isinstance(one.graph, JointGraph)
    ]


def without_terms(graph: Graph) -> list[Variation]:
    """The loss without one term, for each term of each sum in it, and without each number that is added."""
    found: dict[AnyGraph, Variation] = {}
    used = {argument for node in graph.nodes if node.op in ("add", "sub", "neg") for argument in node.args}
    for node in graph.nodes:
        if node.op not in ("add", "sub") or node in used:  # a part of a longer sum
            continue
        form = linear(node)
        for term in form.terms:
            kept = {other: c for other, c in form.terms.items() if other is not term}
            shown = written(Linear({term: form.terms[term]}))
            for variation in _replaced(graph, node, Linear(kept, form.constant), f"without {_short(shown)}"):
                found.setdefault(variation.graph, variation)
        if form.constant:
            for variation in _replaced(graph, node, Linear(form.terms), f"without the number {form.constant:g}"):
                found.setdefault(variation.graph, variation)
    return list(found.values())


def _replaced(graph: Graph, node: Expr, form: Linear, change: str) -> Iterator[Variation]:
    """The loss with another sum, unless that is ill-typed, may overflow or leaves nothing to learn from."""
    try:
        shorter = graph.with_roots([root.substitute({node: written(form)}) for root in graph.roots])
    except IllTyped:
        return
    same = shorter.root.axes == graph.root.axes
    learns = any(leaf.op == "input" for leaf in shorter.root.leaves)
    if same and learns and graph_out_of_range(shorter) is None:
        yield Variation(change, shorter)


def rounded(graph: Graph) -> list[Variation]:
    """All numbers with two digits at once, and each of them by itself."""
    changes = {place: constant(_digits(place.value)) for place in places(graph.roots)}
    changes = {place: new for place, new in changes.items() if new is not place.constant}
    found = [*_at(graph, changes, f"all numbers to {DIGITS} digits")] if len(changes) > 1 else []
    for place, new in changes.items():
        found += _at(graph, {place: new}, f"{place.value:g} to {new.attr('value'):g}")
    return found


def _at(graph: Graph, changes: dict[Place, Expr], change: str) -> Iterator[Variation]:
    try:
        shorter = graph.with_roots(replace_at(graph.roots, changes))
    except IllTyped:
        return
    if shorter.root.axes == graph.root.axes and graph_out_of_range(shorter) is None:
        yield Variation(change, shorter)


def _digits(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def _short(node: Expr) -> str:
    text = format_expression(node)
    return text if len(text) <= 60 else f"{text[:57]}..."
