"""Networks of two parts, of which each is a multilayer perceptron and is called by its name."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from lossearch.tasks.models import MLP


class Adversaries(nn.Module):
    """A generator and the discriminator that judges what it generates.

    Args:
        pixels: of an image, all channels together.
        classes: how many there are.
        latent: numbers that an image is generated from.
        hidden: widths of the hidden layers of each.
    """

    def __init__(self, pixels: int, classes: int, latent: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.generator = MLP((latent + classes,), pixels, hidden)
        self.discriminator = MLP((pixels + classes,), 1, hidden)

    def forward(self, given: Tensor, classes: Tensor, part: str) -> Tensor:
        """Images `[batch, pixel]` in [-1, 1] of latent numbers, or scores `[batch]` of images, for one-hot classes."""
        joined = torch.cat([given, classes], -1)
        return self.generator(joined).tanh() if part == "generator" else self.discriminator(joined).squeeze(-1)


class Autoencoder(nn.Module):
    """An encoder to a Gaussian distribution of latent numbers, and a decoder.

    Args:
        pixels: of an image, all channels together.
        classes: how many there are.
        latent: numbers that an image is decoded from.
        hidden: widths of the hidden layers of each.
    """

    def __init__(self, pixels: int, classes: int, latent: int, hidden: Sequence[int]) -> None:
        super().__init__()
        self.encoder = MLP((pixels + classes,), 2 * latent, hidden)
        self.decoder = MLP((latent + classes,), pixels, hidden)

    def forward(self, given: Tensor, classes: Tensor, part: str) -> Tensor | tuple[Tensor, Tensor]:
        """Images `[batch, pixel]` of latent numbers; or their means and log-variances of images, `[batch, feature]`."""
        joined = torch.cat([given, classes], -1)
        if part == "decoder":
            return self.decoder(joined)
        mean, log_variance = self.encoder(joined).chunk(2, -1)
        return mean, log_variance
