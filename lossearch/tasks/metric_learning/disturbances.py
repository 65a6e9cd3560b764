"""What photographs of one person differ in besides the person: light and place. Made up, as studios keep both equal."""

from __future__ import annotations

import math

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor


def disturbed(images: Tensor, lighting: float, shift: int, draw: np.random.Generator) -> Tensor:
    """Each image lit from a side of its own and moved to a place of its own.

    Args:
        images: `[sample, channel, height, width]`.
        lighting: how strongly: along a random direction brightness goes from e^-lighting to e^lighting times as much.
        shift: pixels by which an image is moved at most along each axis; its edges are repeated.
        draw: random numbers.
    """
    count, _, height, width = images.shape
    angle = torch.from_numpy(draw.uniform(0.0, 2.0 * math.pi, count)).float().reshape(-1, 1, 1)
    rows, columns = torch.linspace(-1.0, 1.0, height).unsqueeze(1), torch.linspace(-1.0, 1.0, width)
    light = torch.exp(lighting * (torch.cos(angle) * columns + torch.sin(angle) * rows))
    places = draw.integers(2 * shift + 1, size=(count, 2)).tolist()
    wider = F.pad(images * light.unsqueeze(1), (shift,) * 4, mode="replicate")
    cut = [image[:, top : top + height, left : left + width] for image, (top, left) in zip(wider, places, strict=True)]
    return torch.stack(cut)
