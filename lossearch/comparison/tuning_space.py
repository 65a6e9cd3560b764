"""What is tuned for a loss, learning rate and own parameters, as a box of coordinates, and which points are tried."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

from lossearch.ir.core.graph import Parameter
from lossearch.ir.core.scale import round_to_digits, to_unit, to_value, unit_bounds

Edge = Literal["low", "high"]
Point = tuple[float, ...]
"""One coordinate for the learning rate where it is tuned, then one per parameter; tuning begins in [0, 1]."""

LEARNING_RATE = "learning_rate"
OCTAVES = 12.0
"""Width of the learning-rate range: a factor 64 below and above its centre, 3.6 decades."""

EXTENSION = 4.0
"""Octaves by which the learning rates are extended where an edge has won; a parameter by the same part of its range."""

_MARGIN = 0.5  # octaves: a learning rate is no edge if one farther out than this was tried
_PARAMETER_MARGIN = 0.05  # of a parameter's searched range
_CONCENTRATION = 1.5  # half of the first learning rates lie within 2.1 of 6 octaves from the middle


@dataclass(frozen=True)
class Hyperparameters:
    """What one point means.

    Attributes:
        parameters: value of each tuned parameter.
        learning_rate: relative: for a loss whose gradient is as large as the reference's.
    """

    parameters: Mapping[str, float]
    learning_rate: float


@dataclass(frozen=True)
class TuningSpace:
    """Learning rates around a centre on a logarithmic scale, and the tunable parameters over the ranges to search.

    A parameter's coordinate is that of `ir/core/scale.py`. Coordinates go on beyond [0, 1] as far as the parameter's
    bounds, and without end for the learning rate.

    Attributes:
        centre: learning rate at the middle of the range.
        parameters: the tuned ones, each with upper > lower.
        tunes_rate: whether the learning rate is a coordinate; otherwise it is the centre.
    """

    centre: float
    parameters: tuple[Parameter, ...]
    tunes_rate: bool = True

    @classmethod
    def of(cls, parameters: Iterable[Parameter], centre: float, tunes_rate: bool = True) -> TuningSpace:
        """The space of a loss's tunable parameters."""
        return cls(centre, tuple(p for p in parameters if p.tunable and p.upper > p.lower), tunes_rate)

    @property
    def names(self) -> tuple[str, ...]:
        """Of the coordinates, in order; none where there is nothing to tune."""
        names = tuple(parameter.name for parameter in self.parameters)
        return (LEARNING_RATE, *names) if self.tunes_rate else names

    @property
    def limits(self) -> list[tuple[float, float]]:
        """How far each coordinate can go: a parameter to its bounds."""
        limits = list(map(unit_bounds, self.parameters))
        return [(-math.inf, math.inf), *limits] if self.tunes_rate else limits

    @property
    def default(self) -> Point:
        """The centre of the learning rates with every parameter's default."""
        units = tuple(to_unit(parameter, parameter.default) for parameter in self.parameters)
        return (0.5, *units) if self.tunes_rate else units

    def setting(self, point: Point) -> Hyperparameters:
        """The values at a point, rounded to three digits."""
        rate, *units = point if self.tunes_rate else (0.5, *point)
        values = {p.name: to_value(p, unit) for p, unit in zip(self.parameters, units, strict=True)}
        return Hyperparameters(values, round_to_digits(self.centre * 2 ** ((rate - 0.5) * OCTAVES)))

    def first_points(self, n: int) -> list[Point]:
        """Points all over the space, denser at the learning rates of its middle; the first has all defaults.

        On every axis by itself they are evenly spread from end to end (a Latin hypercube); without parameters they
        are a grid of learning rates, and two of them the default and the one in the middle of the upper half. Where
        there is nothing to tune, the default alone.
        """
        if not self.names:
            return [self.default]
        if not self.parameters:
            units = [0.5, 0.75] if n == 2 else _spread(range(n))  # the ends alone are far from any good rate
            return [(_towards_middle(unit),) for unit in units]
        points = _kronecker(n - 1, len(self.default), start=1)
        if not points:
            return [self.default]
        axes = [_spread(axis) for axis in zip(*points, strict=True)]
        if self.tunes_rate:
            axes[0] = list(map(_towards_middle, axes[0]))
        return [self.default, *zip(*axes, strict=True)]

    def points_around(
        self, centre: Point, half_width: float, n: int, edges: Mapping[str, Edge], start: int
    ) -> list[Point]:
        """Points that fill a box around `centre`; a coordinate at an edge is the inner end of the box.

        The box reaches past an edge as far as the bounds allow; at a bound it is shifted inwards.

        `start`: how many points were tried before, so that none comes twice.
        """
        axes = zip(*_kronecker(n, len(centre), start), strict=True)
        scaled: list[list[float]] = []
        for name, unit, limits, axis in zip(self.names, centre, self.limits, axes, strict=True):
            beyond = _beyond(unit, edges.get(name), limits)
            if beyond is None:
                a, b = _clip(unit, half_width, limits)
                places = axis
            else:
                a, b = unit, beyond
                places = [(rank + 1) / n for rank in _ranks(axis)]  # the outer end is reached, the inner known
            scaled.append([a + (b - a) * place for place in places])
        return list(zip(*scaled, strict=True))

    def edges(self, best: Point, tried: Sequence[Point]) -> dict[str, Edge]:
        """Which coordinates of `best` lie at an edge: of the learning rates tried, or of a parameter's range.

        That is the range to search, and what was tried beyond it.
        """
        found: dict[str, Edge] = {}
        margin = _MARGIN / OCTAVES
        if self.tunes_rate and min(point[0] for point in tried) > best[0] - margin:
            found[LEARNING_RATE] = "low"
        elif self.tunes_rate and max(point[0] for point in tried) < best[0] + margin:
            found[LEARNING_RATE] = "high"
        for axis, parameter in enumerate(self.parameters, start=int(self.tunes_rate)):
            units = [point[axis] for point in tried]
            if best[axis] < min(0.0, *units) + _PARAMETER_MARGIN:
                found[parameter.name] = "low"
            elif best[axis] > max(1.0, *units) - _PARAMETER_MARGIN:
                found[parameter.name] = "high"
        return found


def _kronecker(n: int, dimensions: int, start: int) -> list[Point]:
    """Points number `start` and on of a Kronecker sequence in the unit cube; number 0 is its centre.

    Additive recurrence with powers of the root of x^(d+1) = x + 1 (Roberts 2018); the golden ratio for d = 1.
    """
    root = 2.0
    for _ in range(64):
        root = (1 + root) ** (1 / (dimensions + 1))
    steps = [root ** -(axis + 1) for axis in range(dimensions)]
    return [tuple((0.5 + index * step) % 1.0 for step in steps) for index in range(start, start + n)]


def _ranks(axis: Sequence[float]) -> list[int]:
    order = sorted(range(len(axis)), key=axis.__getitem__)
    return [order.index(index) for index in range(len(axis))]


def _spread(axis: Sequence[float]) -> list[float]:
    """Coordinates in the same order, evenly spaced from 0 to 1; one alone is in the middle."""
    return [rank / (len(axis) - 1) for rank in _ranks(axis)] if len(axis) > 1 else [0.5]


def _towards_middle(unit: float) -> float:
    offset = 2 * unit - 1
    return 0.5 + math.copysign(abs(offset) ** _CONCENTRATION, offset) / 2


def _beyond(unit: float, edge: Edge | None, limits: tuple[float, float]) -> float | None:
    """Where an extension past an edge ends; None where there is no edge, or no room between it and the limit."""
    if edge is None:
        return None
    end = max(unit - EXTENSION / OCTAVES, limits[0]) if edge == "low" else min(unit + EXTENSION / OCTAVES, limits[1])
    return end if abs(end - unit) > _PARAMETER_MARGIN else None


def _clip(centre: float, half_width: float, limits: tuple[float, float]) -> tuple[float, float]:
    """An interval of full width within the limits, as near to the centre as it can be."""
    low = min(max(centre - half_width, limits[0]), limits[1] - 2 * half_width)
    return max(low, limits[0]), min(low + 2 * half_width, limits[1])
