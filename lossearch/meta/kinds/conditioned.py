"""Coefficients that depend on facts of the task, such as class counts, or on how much of the training is over."""

from __future__ import annotations

import math

from pydantic import Field

from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.parameter import REAL, Parameter
from lossearch.ir.core.signature import Signature
from lossearch.ir.core.types import IllTyped
from lossearch.ir.forms.text import parse_expression
from lossearch.ir.operators import functions as fn
from lossearch.meta.kinds.kind import KINDS, Kind
from lossearch.meta.learnable import Learnable, opened
from lossearch.search_spaces.space import Constants


class Conditioned(Kind):
    """Each coefficient c of the structure becomes c + Σ_f b_f·f, or c·exp(Σ_f b_f·f) on a logarithmic scale.

    The result is held within the bounds of c. It begins with all b = 0, which is the structure.

    Attributes:
        facts: expressions in what the signature has as buffers, such as "progress" or
            "log(class_count / mean(class_count, over=class))". A fact may have the class axis where the coefficient
            stands in a formula of each class; elsewhere reduce it, as in "min(class_count, over=class)".
    """

    facts: tuple[str, ...] = Field(default=("progress",), min_length=1, max_length=8)

    def learnable(self, structure: str, constants: Constants) -> Learnable:
        """See `Kind`."""
        graph = Learnable(opened(structure, constants)).graph
        facts = [fact_of(text, graph.signature) for text in self.facts]
        replaced: dict[Expr, Expr] = {}
        made: list[Parameter] = []
        for parameter in graph.parameters:
            shift: Expr | None = None
            for place, fact in enumerate(facts):
                slope = _slope(parameter, fact, place, len(facts))
                made.append(slope)
                shift = slope.node * fact if shift is None else shift + slope.node * fact
            assert shift is not None
            moved = parameter.node * fn.exp(shift) if parameter.log else parameter.node + shift
            replaced[parameter.node] = fn.clamp(moved, parameter.lower, parameter.upper)
        roots = _substituted(graph, replaced)
        if roots is None:
            found = f"one of {', '.join(self.facts)} with an axis that a coefficient has no place for"
            hint = 'reduce it to one number, as in "min(class_count, over=class)"'
            raise UserError(f"facts that fit the coefficients of {structure[:80]!r}", found, hint)
        return Learnable(Graph(graph.signature, roots[0], (*graph.parameters, *made), *roots[1:]))


KINDS.add("conditioned", Conditioned)


def fact_of(text: str, signature: Signature) -> Expr:
    """A fact from its expression; raises `UserError` where it is malformed, or unbounded."""
    buffers = {declared.name: declared.node for declared in signature.buffers}
    fact = parse_expression(text, buffers)
    if fact.is_constant or not 0.0 < fact.type.interval.magnitude <= 1e6:
        found = f"{text!r} in {fact.type.interval}"
        raise UserError(
            "a fact of the task that is at most 1e6 in size", found, "take its logarithm, or a fraction(…, …)"
        )
    return fact


def _substituted(graph: Graph, replaced: dict[Expr, Expr]) -> list[Expr] | None:
    """The roots with other nodes in place of coefficients; None where they do not fit."""
    try:
        roots = [root.substitute(replaced) for root in graph.roots]
    except IllTyped:
        return None
    return roots if [root.axes for root in roots] == [root.axes for root in graph.roots] else None


def _slope(parameter: Parameter, fact: Expr, place: int, facts: int) -> Parameter:
    """The coefficient of a fact: at the ends of its likely range, the largest fact moves c by its likely range."""
    low, high = parameter.searched
    width = math.log(high / low) if parameter.log else high - low
    reach = width / fact.type.interval.magnitude
    name = f"{parameter.name}_by_fact" if facts == 1 else f"{parameter.name}_by_fact{place}"
    return Parameter(name, 0.0, -3.0 * reach, 3.0 * reach, tunable=True, search=(-reach, reach), defined=REAL)
