"""Interval arithmetic: bounds on every node's value, from which domains and guards are decided.

Bounds are ordinary floats and may be infinite. Results enclose the true range; they need not be tight, except
where tightness decides whether an expression is well-typed (powers, products of equal factors).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

EPSILON = 1e-12
"""Distance from a pole at which a guard holds a value: 1/EPSILON and 1/EPSILON² are finite in float32."""

SMALLEST_DENOMINATOR = 1e-37
"""The least that a denominator may be proven to be: its reciprocal is finite in float32."""

LARGEST_EXPONENT = 60.0
"""Largest argument of exp after guarding: e^60 ≈ 1.1e26 leaves room for products in float32."""


class Interval(NamedTuple):
    """Closed bounds lower ≤ value ≤ upper."""

    lower: float
    upper: float

    def __contains__(self, value: object) -> bool:
        return isinstance(value, (int, float)) and self.lower <= value <= self.upper

    def __str__(self) -> str:
        return f"[{self.lower:g}, {self.upper:g}]"

    @property
    def magnitude(self) -> float:
        """The largest absolute value."""
        return max(abs(self.lower), abs(self.upper))

    @property
    def mignitude(self) -> float:
        """The smallest absolute value."""
        return 0.0 if self.lower <= 0.0 <= self.upper else min(abs(self.lower), abs(self.upper))

    def clip(self, lower: float, upper: float) -> Interval:
        """The range of `clamp(value, lower, upper)`."""
        return Interval(min(max(self.lower, lower), upper), max(min(self.upper, upper), lower))

    def hull(self, other: Interval) -> Interval:
        """The smallest interval that encloses both."""
        return Interval(min(self.lower, other.lower), max(self.upper, other.upper))


REAL = Interval(-math.inf, math.inf)
UNIT = Interval(0.0, 1.0)


def times(a: float, b: float) -> float:
    """A product of bounds, in which 0 · ∞ = 0."""
    return 0.0 if a == 0.0 or b == 0.0 else a * b


def add(a: Interval, b: Interval) -> Interval:
    """Range of a + b."""
    return Interval(a.lower + b.lower, a.upper + b.upper)


def sub(a: Interval, b: Interval) -> Interval:
    """Range of a - b."""
    return Interval(a.lower - b.upper, a.upper - b.lower)


def mul(a: Interval, b: Interval) -> Interval:
    """Range of a · b."""
    products = (times(a[0], b[0]), times(a[0], b[1]), times(a[1], b[0]), times(a[1], b[1]))
    return Interval(min(products), max(products))


def reciprocal(a: Interval) -> Interval:
    """Range of 1 / a for an interval that lies on one side of zero."""
    lower, upper = (1.0 / end if end else math.inf for end in (a.upper, a.lower))
    return Interval(-math.inf if a.upper == 0.0 else lower, upper)


def scale(a: Interval, most: int) -> Interval:
    """Range of a sum of between 1 and `most` values of `a`."""
    return Interval(min(a.lower, a.lower * most), max(a.upper, a.upper * most))


def power(base: Interval, exponent: Interval) -> Interval:
    """Range of base ** exponent, for base ≥ 0 or a constant integer exponent."""
    if exponent.lower == exponent.upper and exponent.lower.is_integer():
        return _integer_power(base, int(exponent.lower))
    ends = [_power(b, e) for b in base for e in exponent]
    if 1.0 in base:
        ends.append(1.0)
    return Interval(min(ends), max(ends))


def _integer_power(base: Interval, exponent: int) -> Interval:
    ends = sorted(_power(b, exponent) for b in base)
    return Interval(0.0 if exponent % 2 == 0 and exponent > 0 and 0.0 in base else ends[0], ends[1])


def _power(base: float, exponent: float) -> float:
    try:
        return math.pow(base, exponent)
    except OverflowError:
        return math.inf if base > 0 or exponent % 2 == 0 else -math.inf
    except ValueError:  # zero to a negative power
        return math.inf


def monotone(function: Callable[[float], float], a: Interval) -> Interval:
    """Range of a monotone function: its values at the ends, in order."""
    low, high = _limit(function, a.lower), _limit(function, a.upper)
    return Interval(min(low, high), max(low, high))


def _limit(function: Callable[[float], float], at: float) -> float:
    try:
        return function(at)
    except OverflowError:
        return math.inf
