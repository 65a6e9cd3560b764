"""A network whose features are judged, with a projection of them that the loss is given."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lossearch.tasks.models import CNN, ImageShape


class ProjectedNet(nn.Module):
    """A convolutional network, and on its features ReLU and a linear layer (Chen et al. 2020).

    Args:
        image_shape: (channel, height, width).
        channels: of each convolution.
        features: how many are judged.
        projection: features that the loss is given.
    """

    def __init__(self, image_shape: ImageShape, channels: Sequence[int], features: int, projection: int) -> None:
        super().__init__()
        self.trunk = CNN(image_shape, features, channels)
        self.projector = nn.Linear(features, projection)

    def forward(self, images: Tensor, judged: bool = False) -> Tensor:
        """Projections `[batch, projection]` of images; or the features that are judged, `[batch, feature]`."""
        features = self.trunk(images).relu()
        return features if judged else self.projector(features)
