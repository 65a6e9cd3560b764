"""Values of a parameter at coordinates that are tensors, through which gradients flow."""

from __future__ import annotations

import torch
from torch import Tensor

from lossearch.ir.core.parameter import Parameter
from lossearch.ir.core.scale import BEYOND, bend


def unit_to_values(parameter: Parameter, units: Tensor) -> Tensor:
    """As `lossearch.ir.core.scale.to_value` without rounding, of each coordinate; differentiable within the bounds."""
    low, high = parameter.searched
    width = high - low
    if parameter.log:
        values = low * (high / low) ** units
    else:
        exponent, mirrored = bend(parameter)
        inside = units.clamp(0.0, 1.0)
        bent = high - width * (1 - inside) ** exponent if mirrored else low + width * inside**exponent
        above = torch.where(units > 1.0, high + BEYOND * width * (units - 1.0), bent)
        values = torch.where(units < 0.0, low + BEYOND * width * units, above)
    return values.clamp(parameter.lower, parameter.upper)
