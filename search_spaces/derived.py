"""The search space that a signature's own hand-designed losses span, for signatures without one written by hand.

Terminals are the inputs and every subexpression of those losses; sorts are the axes that these have; templates are
arithmetic within a sort, and reductions and products between sorts. What is drawn is therefore made of pieces of which
experts made theirs.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from itertools import permutations
from string import ascii_uppercase

from lossearch import zoo
from lossearch.errors import UserError
from lossearch.ir.core.axes import Axes, without
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.signature import SIGNATURES, Signature
from lossearch.ir.forms.text import format_expression
from lossearch.search_spaces.space import CONSTANT, SearchSpace

SMALLEST_LIMIT = 40
"""Distinct operators of a candidate at most, unless that or little more is what a hand-designed loss has."""

LONGEST_TERMINAL = 300
"""Characters of a subexpression that may become a terminal."""

WITHIN = {
    "S + C * S": 2.0,
    "S + S": 2.0,
    "S - S": 1.5,
    "S * S": 2.0,
    "C * S": 2.0,
    "S + C": 1.0,
    "C - S": 1.0,
    "S / (C + abs(S))": 1.0,
    "square(S)": 1.0,
    "abs(S)": 1.0,
    "(C + abs(S)) ** C": 1.0,
    "sqrt(C + square(S))": 1.0,
    "log(C + abs(S))": 1.0,
    "exp(-abs(S))": 0.7,
    "1.0 - exp(-C * square(S))": 0.7,
    "tanh(S)": 0.7,
    "atan(S)": 0.5,
    "sigmoid(S)": 0.5,
    "softplus(S)": 0.7,
    "relu(S)": 0.5,
    "relu(C - S)": 0.5,
    "minimum(S, C)": 0.7,
    "maximum(S, C)": 0.7,
    "maximum(S, S)": 0.4,
    "where(greater(S, C), S, S)": 0.5,
    "stop_gradient(S)": 0.3,
}
"""Templates of every sort S: each is well typed whatever stands in for S."""

BETWEEN = {"mean(L, over=({axes}))": 1.0, "sum(L, over=({axes}))": 0.5, "max(L, over=({axes}))": 0.3}
"""Templates of a sort whose axes are some of those of a larger one, L."""


def derived_space(signature: Signature, buffers: bool = False) -> SearchSpace:
    """The space of a signature.

    Args:
        signature: that the losses share.
        buffers: whether losses may use what is given at construction, which a search knows for bundled tasks only.

    Raises:
        UserError: no hand-designed loss of the signature can be used.
    """
    seeds = _seeds(signature, buffers)
    if not seeds:
        found = f"{signature.name} with {', '.join(zoo.names(signature=signature.name)) or 'no loss'}"
        hint = "write a space as a .toml file"
        raise UserError("a signature with hand-designed losses that need nothing but its inputs", found, hint)
    terminals = _terminals(signature, seeds.values())
    letters = dict(zip(terminals, _letters(), strict=False))
    return SearchSpace(
        name=signature.name,
        signature=signature.name,
        max_nodes=max(SMALLEST_LIMIT, *(graph.complexity * 5 // 4 for graph in seeds.values())),
        seeds=tuple(seeds),
        sorts={letter: axes for axes, letter in letters.items()},
        terminals={letter: dict.fromkeys(terminals[axes], 1.0) for axes, letter in letters.items()},
        templates={letter: dict(_templates(axes, letters)) for axes, letter in letters.items()},
    )


def derivable() -> list[str]:
    """The signatures whose losses' inputs are all given with each call."""
    return sorted(name for name, signature in SIGNATURES.items() if _seeds(signature))


def _seeds(signature: Signature, buffers: bool = False) -> dict[str, Graph]:
    found = {name: zoo.get(name).graph.frozen() for name in zoo.names(signature=signature.name)}
    given = [] if buffers else [declared.name for declared in signature.buffers]
    return {name: graph for name, graph in found.items() if not any(map(graph.uses, given))}


def _terminals(signature: Signature, graphs: Collection[Graph]) -> dict[Axes, list[str]]:
    """Texts of inputs and subexpressions by their axes, those of the losses first."""
    roots = [graph.root for graph in graphs]
    inner = [node for graph in graphs for node in graph.nodes if node.op != "constant" and node not in roots]
    found: dict[Axes, list[str]] = {root.axes: [] for root in roots}
    for node in (*roots, *(declared.node for declared in signature.forward_inputs), *inner):
        if node.type.kind == "real" and (text := _text(node)) is not None:
            texts = found.setdefault(node.axes, [])
            if text not in texts:
                texts.append(text)
    kept = {root.axes for root in roots} | found.keys() - {()}  # single numbers only where losses are such
    return {axes: texts for axes, texts in found.items() if texts and axes in kept}


def _text(node: Expr) -> str | None:
    """The expression in one piece, unless it is long or names parts of itself."""
    text = format_expression(node)
    return None if ":=" in text or len(text) > LONGEST_TERMINAL else text


def _letters() -> Iterator[str]:
    yield "E"  # an expression per element, as in other spaces
    yield from (letter for letter in ascii_uppercase if letter not in ("E", CONSTANT))


def _templates(axes: Axes, letters: dict[Axes, str]) -> Iterator[tuple[str, float]]:
    own = letters[axes]
    for text, weight in WITHIN.items():
        yield text.replace("S", own), weight
    for larger, smaller in permutations(letters, 2):
        if not set(smaller) < set(larger):
            continue
        if smaller == axes:
            reduced = ", ".join(without(larger, smaller))
            for text, weight in BETWEEN.items():
                yield text.replace("L", letters[larger]).format(axes=reduced), weight
        elif larger == axes:
            yield f"{own} * {letters[smaller]}", 1.0
