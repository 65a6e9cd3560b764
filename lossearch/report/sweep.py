"""A sweep: one variable that runs through the inputs of a signature, along which its losses are drawn."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
from torch import Tensor

POINTS = 161

Inputs = Callable[[Tensor], tuple[Tensor, ...]]
"""From the variable, a float64 number, to the inputs of `forward`; differentiable in it."""


@dataclass(frozen=True)
class SweepSizes:
    """What sweeps depend on.

    Attributes:
        classes: The number of classes.
        side: How long every side of an image must be at least.
        lengths: Of the axes along which the loss has numbers of its own, such as its quantiles.
    """

    classes: int
    side: int
    lengths: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True)
class Sweep:
    """A line through the inputs of one signature.

    Attributes:
        axis: What the variable is.
        slope: What the gradient is: "dL/d(…)".
        grid: Values of the variable, `[point]` in float64, rising.
        inputs: The inputs at one value of it.
        moves: Names of the inputs that depend on it.
        ideal: Where the prediction is right, in the grid.
        untrained: Where an untrained model may be, in the grid: there gradients are compared.
        unit: Size of the gradient there that losses are scaled to where they are scaled.
        rate: Factor from the derivative by the variable to `slope`, where that is by another quantity.
        buffers: What the loss takes at construction.
    """

    axis: str
    slope: str
    grid: Tensor
    inputs: Inputs
    moves: tuple[str, ...]
    ideal: float
    untrained: float
    unit: float = 1.0
    rate: Callable[[Tensor], Tensor] | None = None
    buffers: Mapping[str, Tensor] = field(default_factory=dict)


Sweeps = Callable[[SweepSizes], tuple[Sweep, ...]]

SWEEPS: dict[str, Sweeps] = {}
"""For each signature its sweeps, the natural variable first."""


def sweeps(signature: str) -> Callable[[Sweeps], Sweeps]:
    """Declare the sweeps of a signature."""

    def declare(make: Sweeps) -> Sweeps:
        SWEEPS[signature] = make
        return make

    return declare


def grid(lower: float, upper: float, points: int = POINTS) -> Tensor:
    """Evenly spaced values, both ends included."""
    return torch.linspace(lower, upper, points, dtype=torch.float64)
