"""Values of a parameter at coordinates that are tensors, through which gradients flow."""

from __future__ import annotations

import torch
from torch import Tensor

from lossearch.ir.core.parameter import Parameter
from lossearch.ir.core.scale import BEYOND, bend, unit_bounds

_MARGIN = 1e-4  # of coordinates, for those that rounding puts beyond a bound


def unit_to_values(parameter: Parameter, units: Tensor) -> Tensor:
    """As `lossearch.ir.core.scale.to_value` without rounding, of each coordinate.

    Differentiable within the bounds and at them, where the slope is that of the scale. Beyond them it is zero. Where a
    bent scale has no slope, at the end of the range near which it is finer, the slope is that outside the range, so
    that a coefficient can leave that end.
    """
    low, high = parameter.searched
    width = high - low
    lowest, highest = unit_bounds(parameter)
    units = units.clamp(lowest - _MARGIN, highest + _MARGIN)
    if parameter.log:
        values = low * (high / low) ** units
    else:
        exponent, mirrored = bend(parameter)
        inside = units.clamp(0.0, 1.0)
        bent = high - width * (1 - inside) ** exponent if mirrored else low + width * inside**exponent
        flat = exponent > 1.0
        above = units >= 1.0 if flat and mirrored else units > 1.0
        below = units <= 0.0 if flat and not mirrored else units < 0.0
        values = torch.where(above, high + BEYOND * width * (units - 1.0), bent)
        values = torch.where(below, low + BEYOND * width * units, values)
    # The clamp itself has no slope where rounding puts a coordinate beyond a bound.
    return values.detach().clamp(parameter.lower, parameter.upper) + (values - values.detach())
