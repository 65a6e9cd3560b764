"""A loss with free coefficients: a point gives the loss there, as a graph and as a differentiable function."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property

import torch
from torch import Tensor

from lossearch.compile.constants import parametrised, sign_range
from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr, constant
from lossearch.ir.core.graph import Graph, Parameter
from lossearch.ir.core.places import Place
from lossearch.ir.core.scale import to_unit, to_value, unit_bounds
from lossearch.loss import Loss
from lossearch.search_spaces.space import Constants
from lossearch.training.parametric_loss import ParametricLoss
from lossearch.training.unit_values import unit_to_values
from lossearch.zoo.named import hand_designed_loss, is_text_form

_DIGITS = 6
_WIDTHS = 4.0  # how far a number that may change its sign can go, relative to its size


class Learnable:
    """Losses of one structure that differ in their coefficients, in coordinates of one scale.

    A coordinate is 0 and 1 at the ends of the likely range of its coefficient, on a logarithmic scale where that is
    positive, and goes on to its bounds.

    Args:
        graph: its tunable parameters are the coefficients; others stay at their defaults.

    Attributes:
        coefficients: what is learned, in order.

    Raises:
        UserError: there are none.
    """

    def __init__(self, graph: Graph) -> None:
        free = _free(graph)
        if not free:
            found = "a loss without tunable parameters"
            raise UserError("a loss with coefficients", found, 'write one with constants: "dense: 2.0 * …"')
        self.graph = _with_fixed(graph, [p for p in graph.parameters if p not in free])
        self.coefficients = self.graph.parameters

    @classmethod
    def of(cls, structure: str, constants: Constants | None = None) -> Learnable:
        """The coefficients of a loss.

        Those of a hand-designed loss are its tunable parameters; those of a loss that is written out are its tunable
        parameters and its constants, all but 0, ±1 and exponents that are whole numbers.

        Args:
            structure: a hand-designed loss with arguments ("focal", "taylor"), or a text form ("dense: …").
            constants: how small and how large a constant may become.

        Raises:
            UserError: there is no such loss, it is malformed, or it has no coefficients.
        """
        return cls(opened(structure, constants or Constants()))

    def __len__(self) -> int:
        return len(self.coefficients)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the coefficients."""
        return tuple(p.name for p in self.coefficients)

    @property
    def start(self) -> list[float]:
        """The point of the loss as it was given."""
        return [to_unit(p, p.default) for p in self.coefficients]

    @cached_property
    def bounds(self) -> list[tuple[float, float]]:
        """How far each coordinate can go."""
        return [unit_bounds(p) for p in self.coefficients]

    def held(self, point: Sequence[float]) -> list[float]:
        """The nearest point within the bounds."""
        return [min(max(float(x), low), high) for x, (low, high) in zip(point, self.bounds, strict=True)]

    def values(self, points: Tensor) -> Tensor:
        """Coefficients at points, both `[..., coefficient]`; differentiable, and held within the bounds."""
        columns = [unit_to_values(p, points[..., k]) for k, p in enumerate(self.coefficients)]
        return torch.stack(columns, -1)

    def at(self, point: Sequence[float]) -> Graph:
        """The loss at a point, its coefficients as constants of six digits; raises `IllTyped` where it is none."""
        return self.graph.bind(self.numbers_at(point)).frozen()

    def read(self, point: Sequence[float]) -> Graph:
        """The loss that is proposed at a point: that of `at` without terms whose coefficient is 0."""
        return without_zeros(self.at(point))

    def numbers_at(self, point: Sequence[float]) -> dict[str, float]:
        """The coefficients at a point, by name, of six digits."""
        return {p.name: to_value(p, unit, _DIGITS) for p, unit in zip(self.coefficients, point, strict=True)}

    @cached_property
    def function(self) -> ParametricLoss:
        """The loss as a differentiable function of inputs and coefficients."""
        return ParametricLoss(self.graph)


def opened(structure: str, constants: Constants) -> Graph:
    """A loss whose parameters are its coefficients, which may be none; see `Learnable.of`.

    Raises:
        UserError: there is no such loss, or it is malformed.
    """
    if is_text_form(structure):
        graph = with_open_constants(Loss.from_text(structure).graph, constants)
    else:
        graph = hand_designed_loss(structure).graph
    free = _free(graph)
    return _with_fixed(graph, [p for p in graph.parameters if p not in free])


def _free(graph: Graph) -> tuple[Parameter, ...]:
    return tuple(p for p in graph.parameters if p.tunable and p.upper > p.lower)


def _with_fixed(graph: Graph, parameters: Sequence[Parameter]) -> Graph:
    """The graph with some parameters as constants, at their defaults."""
    fixed = {p.node: constant(p.default) for p in parameters}
    return graph.with_roots([root.substitute(fixed) for root in graph.roots]) if fixed else graph


def without_zeros(graph: Graph) -> Graph:
    """The graph without what is added times 0, where what it is added to has all its axes."""

    def change(node: Expr) -> Expr:
        if node.op not in ("add", "sub"):
            return node
        first, second = node.args
        if _is_zero(second) and set(second.axes) <= set(first.axes):
            return first
        if _is_zero(first) and set(first.axes) <= set(second.axes):
            return second if node.op == "add" else -second
        return node

    return graph.map(change)


def _is_zero(node: Expr) -> bool:
    return node.lower == node.upper == 0.0


def with_open_constants(graph: Graph, constants: Constants) -> Graph:
    """The graph with its constants as tunable parameters `c0`, `c1` …

    A positive constant keeps its sign, on a logarithmic scale; a negative one may change it where the loss stays
    well typed. A constant stays as it is where any range would make the loss ill-typed.
    """
    declared: dict[str, Parameter] = {}
    taken = {parameter.name for parameter in graph.parameters}

    def parameters(place: Place, rank: int) -> Iterator[Expr]:
        name = f"c{rank}"
        while name in taken:
            name += "_"
        for parameter in _openings(name, place.value, constants):
            declared[name] = parameter
            yield parameter.node

    roots, replaced = parametrised(graph.roots, parameters)
    kept = {node.attr("name") for node in replaced.values()}
    own = (*graph.parameters, *(p for name, p in declared.items() if name in kept))
    return Graph(graph.signature, roots[0], own, *roots[1:])


def _openings(name: str, value: float, constants: Constants) -> Iterator[Parameter]:
    """What may stand for a constant, the most free first."""
    size = abs(value)
    low, high = min(constants.lower, size), max(constants.upper, size)
    likely = (max(low, size / 10.0), min(high, size * 10.0))
    if value > 0.0:
        yield Parameter(name, value, low, high, tunable=True, log=True, search=likely)
        return
    yield Parameter(name, value, -_WIDTHS * size, _WIDTHS * size, tunable=True, search=(-2.0 * size, 2.0 * size))
    lower, upper = sign_range(value)
    yield Parameter(name, value, max(lower, -high), min(upper, -low), tunable=True, search=(-likely[1], -likely[0]))
