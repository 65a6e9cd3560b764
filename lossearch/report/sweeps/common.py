"""What sweeps of several signatures are made of."""

from __future__ import annotations

import torch
from torch import Tensor

from lossearch.report.sweep import Inputs, Sweep, grid

SIDE = 32
"""Length of every side of an image, where a loss asks for no longer one."""


def vector(*values: float) -> Tensor:
    """Numbers in float64."""
    return torch.tensor(values, dtype=torch.float64)


def error(inputs: Inputs, moves: str, axis: str = "error") -> Sweep:
    """An error of what is predicted, in both directions."""
    return Sweep(axis, "dL/d(error)", grid(-3.0, 3.0), inputs, (moves,), ideal=0.0, untrained=1.0)


NUMBERS = vector(-1.0, 0.0, 1.0, 2.0)[None]
