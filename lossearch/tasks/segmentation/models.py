"""A small U-Net for many trainings: parameters are its only state, and samples are not coupled."""

from __future__ import annotations

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
import torch.nn.functional as F
from torch import Tensor, nn


class UNet(nn.Module):
    """U-Net: convolutions at falling resolutions, and back up with what each resolution gave. Ronneberger et al. 2015.

    `images[batch, channel, height, width] -> logits[batch, class, height, width]`. One 3x3 convolution a resolution
    and way, with group normalisation and ReLU; pooling halves height and width, rounding down.

    Args:
        image_channels: of the images.
        classes: number of logits a pixel.
        channels: of each resolution, from full to lowest; images are at least 2 ** (resolutions - 1) pixels wide and
            high.
    """

    def __init__(self, image_channels: int, classes: int, channels: Sequence[int] = (8, 16, 16)) -> None:
        super().__init__()
        self.down = nn.ModuleList(_Block(before, after) for before, after in pairwise((image_channels, *channels)))
        self.up = nn.ModuleList(_Block(below + beside, beside) for beside, below in reversed([*pairwise(channels)]))
        self.head = nn.Conv2d(channels[0], classes, 1)

    def forward(self, images: Tensor) -> Tensor:
        x = images
        beside: list[Tensor] = []
        for level, block in enumerate(self.down):
            x = block(F.max_pool2d(x, 2) if level else x)
            beside.append(x)
        beside.pop()
        for block in self.up:
            other = beside.pop()
            x = block(torch.cat((F.interpolate(x, size=other.shape[-2:]), other), 1))
        return self.head(x)


class _Block(nn.Sequential):
    def __init__(self, before: int, after: int) -> None:
        super().__init__(
            nn.Conv2d(before, after, 3, padding=1),
            nn.GroupNorm(math.gcd(4, after), after),
            nn.ReLU(),
        )
