"""The numbers of one loss as a vector: its tunable parameters, and the constants of a formula."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

from lossearch.compile.constants import free_constants
from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr, constant
from lossearch.ir.core.graph import Graph, Parameter
from lossearch.ir.core.places import Place, replace_at
from lossearch.ir.core.scale import round_to_digits, to_unit, to_value, unit_bounds
from lossearch.ir.core.types import IllTyped
from lossearch.loss import Loss
from lossearch.search_spaces.space import Constants
from lossearch.zoo.named import hand_designed_loss, is_text_form

_DIGITS = 4


@dataclass(frozen=True)
class Coordinates:
    """Losses of one structure that differ in numbers only, as points.

    A parameter's coordinate is 0 and 1 at the ends of the range to search, and goes on to its bounds. That of a
    constant is the decimal logarithm of its size, relative to what it was; its sign is kept.

    Attributes:
        graph: the loss at `start`.
        parameters: those that vary; others stay at their defaults.
        places: constants that vary.
        constants: how small and how large they may become; one that is beyond that already may stay as it is.
    """

    graph: Graph
    parameters: tuple[Parameter, ...]
    places: tuple[Place, ...]
    constants: Constants

    @classmethod
    def of(cls, structure: str, constants: Constants) -> Coordinates:
        """The numbers of a loss.

        Those of a hand-designed loss are its tunable parameters: what else stands in it is part of its formula. Those
        of a loss that is written out are tunable parameters, if it declares any, and constants: all but 0, ±1 and
        exponents that are whole numbers.

        Args:
            structure: a hand-designed loss with arguments (`focal(gamma=2)`), or a text form.
            constants: see the attribute.

        Raises:
            UserError: there is no such loss, or the text is malformed or ill-typed.
        """
        written = is_text_form(structure)
        graph = (Loss.from_text(structure) if written else hand_designed_loss(structure)).graph
        parameters = tuple(p for p in graph.parameters if p.tunable and p.upper > p.lower)
        return cls(graph, parameters, tuple(free_constants(graph.roots)) if written else (), constants)

    def __len__(self) -> int:
        return len(self.parameters) + len(self.places)

    @property
    def start(self) -> list[float]:
        """The point of the loss as it was given."""
        return [*(to_unit(p, p.default) for p in self.parameters), *(0.0 for _ in self.places)]

    @cached_property
    def bounds(self) -> list[tuple[float, float]]:
        """How far each coordinate can go."""
        return [*map(unit_bounds, self.parameters), *map(self._bounds_of, self.places)]

    def _bounds_of(self, place: Place) -> tuple[float, float]:
        size = abs(place.value)
        low, high = min(self.constants.lower, size), max(self.constants.upper, size)
        return math.log10(low / size), math.log10(high / size)

    def at(self, point: Sequence[float]) -> Graph | None:
        """The loss at a point, its parameters as constants of four digits; None where it would be ill-typed."""
        own = len(self.parameters)
        values = {p.name: to_value(p, unit, _DIGITS) for p, unit in zip(self.parameters, point[:own], strict=True)}
        changes: dict[Place, Expr] = {
            place: constant(round_to_digits(place.value * 10.0**exponent, _DIGITS))
            for place, exponent in zip(self.places, point[own:], strict=True)
        }
        try:
            return self.graph.with_roots(replace_at(self.graph.roots, changes)).bind(values).frozen()
        except IllTyped:
            return None

    def inside(self, point: Sequence[float]) -> bool:
        """Whether all coordinates are within their bounds."""
        return all(low <= x <= high for x, (low, high) in zip(point, self.bounds, strict=True))

    def held(self, point: Sequence[float]) -> list[float]:
        """The nearest point within the bounds."""
        return [min(max(float(x), low), high) for x, (low, high) in zip(point, self.bounds, strict=True)]


def with_numbers(structure: str, constants: Constants, signature: str) -> Coordinates:
    """The numbers of a loss that has some; raises `UserError` where it has none, or has another signature."""
    found = Coordinates.of(structure, constants)
    if found.graph.signature.name != signature:
        told = f"{structure[:80]!r} of signature {found.graph.signature.name}"
        raise UserError(f"a structure of signature {signature}", told, "choose another, or another space")
    if not len(found):
        hint = 'name a loss with tunable parameters, as lossearch show tells, or write one out: "dense: 2.0 * …"'
        raise UserError("a structure with numbers to search", f"none in {structure[:80]!r}", hint)
    return found
