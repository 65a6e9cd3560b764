"""Constants as inputs, so that one compiled structure serves every graph that differs in its numbers only."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Sequence

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.graph import Graph, Parameter
from lossearch.ir.core.interval import EPSILON
from lossearch.ir.core.places import Place, places, replace_at
from lossearch.ir.core.types import IllTyped

LARGEST = 1e4


def structure(graph: Graph, learnable: bool = False) -> tuple[Graph, dict[str, float]]:
    """A graph whose non-structural constants are parameters `c0`, `c1` …, and their values here.

    Graphs that differ only in such constants give the same structure: equal numbers in two places are two parameters.
    A constant stays where it is if its exact value is part of the structure: 0 and ±1, exponents that are whole
    numbers, values beyond ±1e4, and wherever a mere range would make the graph ill-typed. Apply it to lowered graphs,
    whose guards are decided already. With `learnable` the parameters are tensors, through which gradients flow.
    """
    taken = {parameter.name for parameter in graph.parameters}

    def parameter(place: Place, rank: int) -> Iterator[Expr]:
        name = f"c{rank}"
        while name in taken:
            name += "_"
        lower, upper = constant_range(place.value)
        declared[name] = Parameter(name, place.value, lower, upper, learnable=learnable)
        yield declared[name].node

    declared: dict[str, Parameter] = {}
    roots, replaced = parametrised(graph.roots, parameter)
    values = {node.attr("name"): place.value for place, node in replaced.items()}
    parameters = (*graph.parameters, *(declared[name] for name in values))
    made = Graph(graph.signature, roots[0], parameters, *roots[1:])
    return made.bind({name: _reference(value) for name, value in values.items()}), values


def parametrised(
    roots: Sequence[Expr], parameters: Callable[[Place, int], Iterable[Expr]]
) -> tuple[list[Expr], dict[Place, Expr]]:
    """The roots with parameters at the places of `free_constants`, and the parameter of each place.

    `parameters` gives those that may stand for the next place, whose rank counts the places before it that have got
    one; the first with which everything stays well typed is taken, and the number stays where none is.
    """
    found: dict[Place, Expr] = {}
    result = list(roots)
    for place in free_constants(roots):
        for parameter in parameters(place, len(found)):
            try:
                changed = replace_at(roots, {**found, place: parameter})
            except IllTyped:
                continue
            if [root.axes for root in changed] == [root.axes for root in roots]:
                found[place], result = parameter, changed
                break
    return result, found


def free_constants(roots: Sequence[Expr]) -> list[Place]:
    """Places of constants whose exact value is not part of the structure."""
    return [
        place
        for place in places(roots)
        if (value := place.value) not in (0.0, 1.0, -1.0)
        and EPSILON <= abs(value) <= LARGEST
        and not (place.is_exponent and value == int(value))
    ]


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
