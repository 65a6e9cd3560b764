"""A network for pictures and one for names, with outputs in one space."""

from __future__ import annotations

from collections.abc import Sequence

from torch import Tensor, nn

from lossearch.tasks.models import CNN, ImageShape


class TwoTowers(nn.Module):
    """A convolutional network for pictures, and a linear map of hashed names (Radford et al. 2021, made small).

    Args:
        image_shape: (channel, height, width).
        columns: of hashed names.
        features: of both outputs.
        channels: of each convolution.
    """

    def __init__(self, image_shape: ImageShape, columns: int, features: int, channels: Sequence[int]) -> None:
        super().__init__()
        self.pictures = CNN(image_shape, features, channels)
        self.names = nn.Linear(columns, features)

    def forward(self, pictures: Tensor, names: Tensor) -> tuple[Tensor, Tensor]:
        """Embeddings `[batch, feature]` of pictures, and of names `[batch, column]`."""
        return self.pictures(pictures), self.names(names)
