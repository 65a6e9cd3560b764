"""Images and feature maps."""

from __future__ import annotations

from collections.abc import Callable

import torch
from torch import Tensor

from lossearch.report.sweep import POINTS, Sweep, SweepSizes, grid, sweeps
from lossearch.report.sweeps.common import SIDE

_FEW_POINTS = 33
"""For images so large that each point takes a while."""


def _image(side: int) -> Tensor:
    """A smooth image [1, 1, row, column] in [0, 1]."""
    wave = torch.sin(torch.arange(side, dtype=torch.float64) * 0.3)
    return 0.5 + 0.2 * (wave[:, None] + wave)[None, None]


def _signs(side: int) -> Tensor:
    """±1 at random, of one sign as often as of the other up to chance: an error of every pixel and no mean."""
    drawn = torch.randint(0, 2, (1, 1, side, side), generator=torch.Generator().manual_seed(0))
    return 2.0 * drawn.to(torch.float64) - 1.0


def _pixel_error(side: int, inputs: Callable[[Tensor, Tensor], tuple[Tensor, ...]], moves: str) -> Sweep:
    """An error of every pixel; `inputs` takes the image with it and the image as it should be."""
    target, signs = _image(side), _signs(side)
    errors = grid(-0.5, 0.5, POINTS if side <= SIDE else _FEW_POINTS)
    axis = "error of every pixel, of random sign"
    return Sweep(axis, "dL/d(error)", errors, lambda e: inputs(target + e * signs, target), (moves,), 0.0, 0.25)


@sweeps("image")
def _restored(sizes: SweepSizes) -> tuple[Sweep, ...]:
    return (_pixel_error(sizes.side, lambda image, target: (image, target), "image"),)


@sweeps("masked_image")
def _masked(sizes: SweepSizes) -> tuple[Sweep, ...]:
    masked = (torch.arange(sizes.side) % 2).to(torch.float64).expand(1, sizes.side, -1).contiguous()
    return (_pixel_error(sizes.side, lambda image, target: (image, target, masked), "image"),)


@sweeps("cycle")
def _cycle(sizes: SweepSizes) -> tuple[Sweep, ...]:
    return (_pixel_error(sizes.side, lambda image, target: (image, target, target, target), "first_cycle"),)


@sweeps("image_prior")
def _prior(sizes: SweepSizes) -> tuple[Sweep, ...]:
    step = (torch.arange(sizes.side) >= sizes.side // 2).to(torch.float64).expand(1, 1, sizes.side, -1)
    axis = f"height of an edge across a {sizes.side} × {sizes.side} image"
    return (Sweep(axis, "dL/d(height)", grid(-1.0, 1.0), lambda h: (h * step,), ("image",), 0.0, 1.0),)


@sweeps("features")
def _features(sizes: SweepSizes) -> tuple[Sweep, ...]:
    generator = torch.Generator().manual_seed(0)
    target, difference = torch.randn(2, 1, 4, 6, 6, generator=generator, dtype=torch.float64)
    difference = difference / difference.square().mean().sqrt()
    axis = "scale of a difference between feature maps"
    return (
        Sweep(
            axis,
            "dL/d(scale)",
            grid(-2.0, 2.0),
            lambda scale: (target + scale * difference, target),
            ("features",),
            ideal=0.0,
            untrained=1.0,
        ),
    )
