"""Views of images: turned, zoomed, moved, brightened, and with a part hidden, each by random numbers of its own."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

NUMBERS = 7
"""Random numbers that make a view."""


@dataclass(frozen=True)
class Distortion:
    """How much views differ from their image, at most.

    Attributes:
        turn: degrees.
        zoom: logarithm of the factor.
        shift: share of the image's side.
        contrast: logarithm of the factor.
        hidden: share of the image's side that a hidden square has.
    """

    turn: float = 0.0
    zoom: float = 0.0
    shift: float = 0.0
    contrast: float = 0.0
    hidden: float = 0.0


def drawn(count: int, draw: np.random.Generator) -> Tensor:
    """The numbers of two views of each of so many images: `[image, view, number]`, uniform in [-1, 1]."""
    return torch.from_numpy(draw.uniform(-1.0, 1.0, (count, 2, NUMBERS)).astype(np.float32))


def view(images: Tensor, numbers: Tensor, distortion: Distortion) -> Tensor:
    """A view of each image; what comes in from outside repeats the image's edge, what is hidden is 0.

    Args:
        images: `[..., channel, height, width]`.
        numbers: `[..., number]`, in [-1, 1]; all zero leave the image as it is, but for what is hidden.
        distortion: what they are scaled by.
    """
    shape = images.shape
    flat, row = images.flatten(0, -4), numbers.flatten(0, -2)
    turn = row[:, 0] * math.radians(distortion.turn)
    scale = torch.exp(-distortion.zoom * row[:, 1])
    cosine, sine = scale * turn.cos(), scale * turn.sin()
    moves = 2 * distortion.shift * row[:, 2:4]  # sides of the sampling grid are 2
    where = torch.stack([cosine, -sine, moves[:, 0], sine, cosine, moves[:, 1]], -1).reshape(-1, 2, 3)
    grid = F.affine_grid(where, list(flat.shape), align_corners=False)
    seen = F.grid_sample(flat, grid, padding_mode="border", align_corners=False)
    seen = seen * torch.exp(distortion.contrast * row[:, 4]).reshape(-1, 1, 1, 1)
    if distortion.hidden > 0:
        seen = seen.masked_fill(_hidden(row[:, 5:7], shape[-2], shape[-1], distortion.hidden), 0.0)
    return seen.reshape(shape)


def _hidden(centres: Tensor, height: int, width: int, share: float) -> Tensor:
    """Where a square round each centre lies: `[image, 1, height, width]`."""
    rows, columns = (
        (2 * torch.arange(side, device=centres.device) + 1) / side - 1 for side in (height, width)
    )  # middles of the pixels
    inside = ((places - centres[:, axis : axis + 1]).abs() < share for axis, places in enumerate((rows, columns)))
    down, across = inside
    return (down.unsqueeze(2) & across.unsqueeze(1)).unsqueeze(1)
