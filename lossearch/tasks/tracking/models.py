"""A Siamese network: what it saw in one frame is correlated with a part of another."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

EXEMPLAR = 22
"""Pixels of a side of what is looked for."""

SEARCH = 46
"""Pixels of a side of the region that is searched."""

STRIDE = 4
"""Pixels between neighbouring cells of the response map."""

CELLS = 7
"""Of a side of the response map."""


class SiameseTracker(nn.Module):
    """The same two convolutions see both; cross-correlation, channel by channel, gives a map of scores and of boxes.

    The two are not padded, so that features do not depend on how far the border is (Bertinetto et al. 2016). A box is
    the exemplar's, moved and stretched.

    Args:
        channels: of both convolutions.
    """

    def __init__(self, channels: Sequence[int]) -> None:
        super().__init__()
        first, second = channels
        self.features = nn.Sequential(
            nn.Conv2d(1, first, 4, stride=2),
            nn.ReLU(),
            nn.Conv2d(first, second, 4, stride=2),
            nn.GroupNorm(1, second),
        )
        self.head = nn.Conv2d(second, 5, 3, padding=1)

    def forward(self, exemplars: Tensor, searches: Tensor, sizes: Tensor) -> tuple[Tensor, Tensor]:
        """The response of each cell, and its box.

        Args:
            exemplars: `[sample, 1, EXEMPLAR, EXEMPLAR]`.
            searches: `[sample, 1, SEARCH, SEARCH]`.
            sizes: width and height of the exemplars' boxes, pixels: `[sample, 2]`.

        Returns:
            `[sample, CELLS, CELLS]`, and x1, y1, x2, y2 in pixels of the search region, `[sample, cell, 4]`.
        """
        kernels, maps = self.features(exemplars), self.features(searches)
        samples, channels, side, _ = kernels.shape
        together = maps.reshape(1, samples * channels, *maps.shape[2:])
        correlated = F.conv2d(together, kernels.reshape(-1, 1, side, side), groups=samples * channels) / side**2
        out = self.head(correlated.reshape(samples, channels, CELLS, CELLS))
        offset, stretch = out[:, 1:3].flatten(2), out[:, 3:].flatten(2)
        centre = centres(out.device).T + STRIDE * offset
        half = sizes.unsqueeze(-1) * stretch.sigmoid()  # twice the half is at most twice the exemplar's size
        return out[:, 0], torch.cat([centre - half, centre + half], 1).transpose(1, 2)


def centres(device: torch.device) -> Tensor:
    """Where the exemplar's centre lies in the search region if it is at a cell, x and y in pixels: `[cell, 2]`."""
    places = EXEMPLAR / 2 + STRIDE * torch.arange(CELLS, device=device)
    return torch.stack([places.repeat(CELLS), places.repeat_interleave(CELLS)], 1)
