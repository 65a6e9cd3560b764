"""A network for windows of sensor recordings."""

from __future__ import annotations

import math
from collections.abc import Sequence

from torch import Tensor, nn


class TemporalCNN(nn.Module):
    """Convolutions along time: width 5, stride 2, group normalisation, ReLU; then a mean over time and a linear layer.

    Args:
        sensors: channels of a window.
        classes: number of logits.
        channels: of each convolution; each halves the steps, rounding up.
    """

    def __init__(self, sensors: int, classes: int, channels: Sequence[int]) -> None:
        super().__init__()
        blocks: list[nn.Module] = []
        for before, current in zip((sensors, *channels), channels, strict=False):
            blocks += [
                nn.Conv1d(before, current, kernel_size=5, stride=2, padding=2),
                nn.GroupNorm(math.gcd(4, current), current),
                nn.ReLU(),
            ]
        self.features = nn.Sequential(*blocks)
        self.head = nn.Linear(channels[-1], classes)

    def forward(self, windows: Tensor) -> Tensor:
        """Logits `[batch, class]` of windows `[batch, sensor, step]`."""
        return self.head(self.features(windows).mean(2))
