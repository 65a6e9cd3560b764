"""Naming: what a loss spells out becomes the primitive that says it, found by comparing linear forms.

Nothing is matched against patterns: calls of primitives over what occurs in the graph are expanded and collected by
the same table as the graph, and a call stands for exactly what its own expansion collects to.
"""

from __future__ import annotations

import itertools
from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from lossearch.ir.core.expr import Expr, constant, postorder
from lossearch.ir.core.graph import EXPANSION, Graph
from lossearch.ir.core.operator import OPERATORS
from lossearch.ir.core.primitive import PRIMITIVES, parameter_names
from lossearch.ir.core.types import IllTyped
from lossearch.ir.forms.text import format_graph
from lossearch.ir.rewriting.linear import Linear, linear, written
from lossearch.ir.rewriting.rule import Table

MOST_NUMBERS = 12
"""Numbers of a loss that are tried as arguments of primitives."""

MOST_CALLS = 2_000

MOST_LIKELY = 3
"""Names that are tried in full at a time: those with which there is least to read before it is collected again."""


@dataclass(frozen=True)
class _Call:
    """A call of a primitive, the linear form of what it expands to, and the operators in that."""

    node: Expr
    form: Linear
    operators: set[str]


Known = dict[tuple[str, tuple[Expr, ...]], "_Call | None"]
"""Calls that were collected before, so that several forms of one loss share them."""


def named(graph: Graph, table: Table, known: Known) -> Graph:
    """The collected graph with primitives in place of what they stand for, as long as there are fewer operators."""
    calls = _calls(graph, table, known)
    while True:
        likely = sorted(_renamed(graph, calls), key=cost)[:MOST_LIKELY]
        found = [graph.with_roots(table.rewrite(other.roots)) for other in likely]
        best = min(found, key=cost, default=graph)
        if cost(best)[0] >= cost(graph)[0]:
            return graph
        graph = best


def cost(graph: Graph) -> tuple[int, int]:
    """What there is to read: distinct operators, a primitive counted as one since its name says it, then characters."""
    return sum(1 for node in graph.nodes if node.args), len(format_graph(graph))


def _renamed(graph: Graph, calls: Sequence[_Call]) -> Iterator[Graph]:
    """The graph with one call in the place of what it stands for."""
    nodes = graph.nodes
    sums = [node for node in nodes if node.op in ("add", "sub") and len(linear(node).terms) > 1]
    present = set(nodes)
    for call in calls:
        replaced = _whole(call, present) if len(call.form.terms) == 1 else _inside(call, sums)
        for place, new in replaced:
            try:
                yield graph.with_roots([root.substitute({place: new}) for root in graph.roots])
            except IllTyped:  # the name has lost a bound that something further up needs
                continue


def _whole(call: _Call, present: set[Expr]) -> Iterator[tuple[Expr, Expr]]:
    """A node that is a multiple of the call, up to a number."""
    ((term, coefficient),) = call.form.terms.items()
    if term in present and term is not call.node and term.args:
        yield term, written(Linear({call.node: 1.0 / coefficient}, -call.form.constant / coefficient))


def _inside(call: _Call, sums: Sequence[Expr]) -> Iterator[tuple[Expr, Expr]]:
    """Sums that have all terms of a multiple of the call."""
    for node in sums:
        form = linear(node)
        if call.form.terms.keys() <= form.terms.keys():
            ratios = {form.terms[term] / coefficient for term, coefficient in call.form.terms.items()}
            for ratio in sorted(ratios):
                rest = form.plus(call.form, -ratio).plus(Linear({call.node: 1.0}), ratio)
                if len(rest.terms) <= len(form.terms):
                    yield node, written(rest)


def _calls(graph: Graph, table: Table, known: Known) -> list[_Call]:
    """Calls whose operators all occur in the graph."""
    operators = {node.op for node in graph.nodes}
    found: list[_Call] = []
    for name, arguments in itertools.islice(_proposed(graph), MOST_CALLS):
        if (name, arguments) not in known:
            known[name, arguments] = _call(name, arguments, table)
        call = known[name, arguments]
        if call is not None and call.operators <= operators:
            found.append(call)
    return found


def _call(name: str, arguments: tuple[Expr, ...], table: Table) -> _Call | None:
    """The call, unless it is ill-typed, comes to a number or is what one of its arguments is."""
    try:
        node = Expr.make(name, arguments)
    except IllTyped:
        return None
    (body,) = table.rewrite(EXPANSION([node]))
    form = linear(body)
    if body.axes != node.axes or not form.terms or not all(term.args for term in form.terms):
        return None
    return _Call(node, form, _operators(form))


def _operators(form: Linear) -> set[str]:
    return {node.op for node in postorder(list(form.terms)) if node.args}


def _proposed(graph: Graph) -> Iterator[tuple[str, tuple[Expr, ...]]]:
    """Calls of primitives without attributes: operands named as inputs are, or what is in their place, and one number.

    Then those of one operand, and at most one number, that name no input: they are tried on everything.
    """
    operands, numbers = _operands(graph), _numbers(graph)
    anything = [node for node in graph.nodes if node.type.kind == "real" and not node.is_constant]
    plain = {name: parameter_names(name) for name in sorted(PRIMITIVES) if not OPERATORS[name].attributes}
    for name, names in plain.items():
        unknown = sum(operand not in operands for operand in names)
        if unknown < len(names) and unknown <= 1:
            choices = [operands.get(operand, numbers) for operand in names]
            yield from ((name, arguments) for arguments in itertools.product(*choices))
    for name, names in plain.items():
        if len(names) <= 2 and not any(operand in operands for operand in names):
            choices = [anything, numbers][: len(names)]
            yield from ((name, arguments) for arguments in itertools.product(*choices))


def _operands(graph: Graph) -> dict[str, list[Expr]]:
    """For each input, itself and what occurs in its place as an argument of something that reduces the same axes."""
    inputs = {declared.name: declared for declared in graph.signature.inputs}
    found = {name: [declared.node] for name, declared in inputs.items()}
    reduced = [node for node in graph.nodes if node.op in ("softmax", "log_softmax", "logsumexp")]
    for name, declared in inputs.items():
        if declared.role == "prediction":
            others = {node.args[0] for node in reduced if node.args[0].axes == declared.axes}
            found[name] += sorted(others - {declared.node}, key=lambda node: node.digest)[:3]
    return found


def _numbers(graph: Graph) -> list[Expr]:
    """The numbers and parameters of the graph, and the numbers with the other sign."""
    values = sorted(
        {node.attr("value") for node in graph.nodes if node.is_constant}, key=lambda value: (abs(value), value)
    )
    both = dict.fromkeys(sign * value for value in values[:MOST_NUMBERS] for sign in (1.0, -1.0))
    return [*map(constant, both), *(parameter.node for parameter in graph.parameters)]
