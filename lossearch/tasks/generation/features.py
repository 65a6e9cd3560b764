"""Features of images by a classifier of the task's own training images, fixed before any loss is judged."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lossearch.tasks.generation.pictures import Pictures
from lossearch.tasks.models import CNN, ImageShape

FEATURES = 32
"""How many there are: few, so that a few hundred images tell their covariance."""

SEED = 20_208
"""Of the classifier's weights and of the order of its images: its own, whatever is trained."""

_CHANNELS, _STEPS, _BATCH, _RATE = (16, 32), 300, 50, 0.003


class FixedFeatures(nn.Module):
    """A convolutional classifier, of which the last features before the scores are taken.

    Args:
        image_shape: (channel, height, width).
        classes: how many it tells apart.
    """

    def __init__(self, image_shape: ImageShape, classes: int) -> None:
        super().__init__()
        self.trunk = CNN(image_shape, FEATURES, _CHANNELS)
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Features `[sample, feature]` and scores `[sample, class]` of `images[sample, channel, height, width]`."""
        features = self.trunk(images).relu()
        return features, self.head(features)


@torch.enable_grad()
def fitted(images: Tensor, labels: Tensor, classes: int) -> FixedFeatures:
    """A classifier trained by cross-entropy; equal images give equal features, up to rounding in float64.

    Args:
        images: `[sample, channel, height, width]`.
        labels: `[sample]`.
        classes: how many there are.
    """
    with torch.random.fork_rng(devices=[]):
        torch.default_generator.manual_seed(SEED)
        network = FixedFeatures((images.shape[1], images.shape[2], images.shape[3]), classes).double()
    optimizer = torch.optim.Adam(network.parameters(), _RATE)
    draw, given = np.random.default_rng(SEED), images.double()
    for _ in range(_STEPS):
        chosen = torch.from_numpy(draw.integers(len(images), size=_BATCH))
        loss = F.cross_entropy(network(given[chosen])[1], labels[chosen])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    return network.float().requires_grad_(False)


@lru_cache(maxsize=8)
def fixed_features(pictures: Pictures, device: torch.device) -> FixedFeatures:
    """The classifier of the training images of a task, on a device; raises `UserError` as `Pictures.search`."""
    images, labels = pictures.search()[0]
    return fitted(images, labels, pictures.classes).to(device)
