"""A network that embeds images on the unit sphere, with class centres on it where a margin head is trained."""

from __future__ import annotations

from collections.abc import Sequence

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lossearch.tasks.models import CNN, ImageShape


class EmbeddingNet(nn.Module):
    """A convolutional network whose output is divided by its norm.

    Args:
        image_shape: (channel, height, width).
        features: of an embedding.
        channels: of each convolution.
        classes: centres of a margin head; 0 where there is none.
    """

    def __init__(self, image_shape: ImageShape, features: int, channels: Sequence[int], classes: int = 0) -> None:
        super().__init__()
        self.trunk = CNN(image_shape, features, channels)
        if classes:
            self.centers = nn.Parameter(torch.randn(classes, features))

    def forward(self, images: Tensor, cosines: bool = False) -> Tensor:
        """Embeddings `[batch, feature]` of length one; or their cosines with the class centres, `[batch, class]`."""
        embeddings = F.normalize(self.trunk(images), dim=-1)
        if not cosines:
            return embeddings
        return (embeddings @ F.normalize(self.centers, dim=-1).T).clamp(-1.0, 1.0)  # rounding may go beyond
