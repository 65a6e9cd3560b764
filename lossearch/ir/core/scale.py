"""The scale of a parameter: coordinates that are 0 and 1 at the ends of the range to search, and go on beyond them."""

from __future__ import annotations

import math

from lossearch.ir.core.parameter import Parameter

BEYOND = 3.0
"""Widths per unit outside a range without logarithmic scale: one extension doubles it."""

_QUARTER = 0.25  # a default closer to its bound than this part of the range bends the scale
_STEEPEST = 4.0


def to_value(parameter: Parameter, unit: float, digits: int = 3) -> float:
    """The value at a coordinate, rounded to so many digits and held within the parameter's bounds.

    Logarithmic where the parameter is. Without that, a default near one end of the range makes steps finer there:
    ε = 1 of [-1, 100] says that the unit of ε is nearer to one than to a hundred.
    """
    low, high = parameter.searched
    width = high - low
    if parameter.log:
        value = low * (high / low) ** unit
    elif unit < 0.0:
        value = low + BEYOND * width * unit
    elif unit > 1.0:
        value = high + BEYOND * width * (unit - 1.0)
    else:
        exponent, mirrored = bend(parameter)
        value = high - width * (1 - unit) ** exponent if mirrored else low + width * unit**exponent
    return min(max(round_to_digits(value, digits), parameter.lower), parameter.upper)


def to_unit(parameter: Parameter, value: float) -> float:
    """The coordinate of a value: the inverse of `to_value`, rounding apart."""
    low, high = parameter.searched
    if parameter.log:
        return math.log(value / low) / math.log(high / low)
    fraction = (value - low) / (high - low)
    if fraction < 0.0:
        return fraction / BEYOND
    if fraction > 1.0:
        return 1.0 + (fraction - 1.0) / BEYOND
    exponent, mirrored = bend(parameter)
    return 1 - (1 - fraction) ** (1 / exponent) if mirrored else fraction ** (1 / exponent)


def unit_bounds(parameter: Parameter) -> tuple[float, float]:
    """The coordinates of the parameter's bounds."""
    return to_unit(parameter, parameter.lower), to_unit(parameter, parameter.upper)


def round_to_digits(value: float, digits: int = 3) -> float:
    """The value as a table prints it, so that what was used can be typed in again."""
    return float(f"{value:.{digits}g}")


def bend(parameter: Parameter) -> tuple[float, bool]:
    """Exponent k of value = low + width·u^k, and whether it counts from the high end instead."""
    low, high = parameter.searched
    fraction = (parameter.default - low) / (high - low)
    mirrored = fraction > 0.5
    nearness = 1 - fraction if mirrored else fraction
    if nearness in (0.0, 1.0) or nearness >= _QUARTER:  # a default that is the bound says nothing about scale
        return 1.0, mirrored
    return min(math.log(nearness) / math.log(_QUARTER), _STEEPEST), mirrored
