"""Values of coordinates that are tensors: those of the scale, with slopes by which they can leave their bounds."""

from __future__ import annotations

import pytest
import torch

from lossearch.ir.core.parameter import Parameter
from lossearch.ir.core.scale import to_value, unit_bounds
from lossearch.training.unit_values import unit_to_values

PARAMETERS = [
    Parameter("bent", 2.0, 0.0, 10.0, tunable=True),
    Parameter("mirrored", 0.95, 0.0, 1.0, tunable=True),
    Parameter("beyond", 0.3, 0.01, 10.0, tunable=True, search=(0.1, 1.0)),
    *(
        Parameter(f"log{round(10 * k)}", k, 0.001, 100.0, tunable=True, log=True, search=(k / 10, 10 * k))
        for k in (1.5, 4.0, 0.7)
    ),
]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
@pytest.mark.parametrize("parameter", PARAMETERS, ids=lambda one: one.name)
def test_a_coefficient_can_leave_its_bounds(parameter: Parameter, dtype: torch.dtype) -> None:
    low, high = unit_bounds(parameter)
    units = torch.tensor([low, high, low - 5.0, high + 5.0, 0.3, 1.0], dtype=dtype, requires_grad=True)
    values = unit_to_values(parameter, units)
    wanted = torch.tensor([to_value(parameter, unit, 12) for unit in units.tolist()], dtype=dtype)
    torch.testing.assert_close(values, wanted)
    assert values[2:4].tolist() == torch.tensor([parameter.lower, parameter.upper], dtype=dtype).tolist()
    (slopes,) = torch.autograd.grad(values.sum(), units)
    assert (slopes[:2] > 0.0).all()
    assert (slopes[2:4] == 0.0).all()
    tangents = torch.func.jvp(lambda x: unit_to_values(parameter, x), (units.detach(),), (torch.ones_like(units),))[1]
    torch.testing.assert_close(tangents, slopes)
