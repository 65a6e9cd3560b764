"""A small network that restores images: parameters are its only state, and samples are not coupled."""

from __future__ import annotations

from torch import Tensor, nn


class ResidualNet(nn.Module):
    """Convolutions that give what is to be added to the degraded image, as Zhang et al. 2017 (DnCNN, IRCNN).

    `degraded[batch, channel, height, width] -> image[batch, channel, height, width]`. 3x3 convolutions with leaky ReLU
    and without any normalisation; the inner ones are dilated by 1, 2, 4, 1, 2, 4 …, so that few see far. An untrained
    network leaves images as they are.

    Args:
        image_channels: of the images.
        gaps: whether degraded images have a further channel, with ones where the image is gone and zeros elsewhere.
            What is not gone stays as it is.
        channels: of each convolution but the last.
        layers: inner convolutions.
    """

    def __init__(self, image_channels: int, gaps: bool = False, channels: int = 16, layers: int = 2) -> None:
        super().__init__()
        self.gaps = gaps
        blocks: list[nn.Module] = [nn.Conv2d(image_channels + gaps, channels, 3, padding=1), nn.LeakyReLU(0.1)]
        for layer in range(layers):
            dilation = 2 ** (layer % 3)
            blocks += [nn.Conv2d(channels, channels, 3, padding=dilation, dilation=dilation), nn.LeakyReLU(0.1)]
        last = nn.Conv2d(channels, image_channels, 3, padding=1)
        for parameter in last.parameters():
            nn.init.zeros_(parameter)
        self.body = nn.Sequential(*blocks, last)

    def forward(self, degraded: Tensor) -> Tensor:
        change = self.body(degraded - 0.5)
        if self.gaps:
            return degraded[:, :-1] + degraded[:, -1:] * change
        return degraded + change
