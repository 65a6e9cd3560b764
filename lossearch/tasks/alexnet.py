"""Features of AlexNet, trained on ImageNet, and the distance between images that LPIPS makes of them."""

from __future__ import annotations

from functools import cache

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lossearch.tasks.datasets.data import load_weights
from lossearch.tasks.datasets.weights import WeightsByPath

DATASET = "alexnet_lpips"
"""The weights, as `lossearch data ls` calls them."""

LAYERS = 5
"""Convolutions, whose outputs after ReLU are the features."""

SMALLEST_SIDE = 31
"""Pixels that an image needs along both sides, for something to be left after the last pooling."""

_STRIDES, _PADDINGS, _POOLED = (4, 1, 1, 1, 1), (2, 2, 1, 1, 1), (1, 2)  # by layer; which of them follow a pooling
_SHIFT, _SCALE = (-0.030, -0.088, -0.188), (0.458, 0.448, 0.450)  # of images in [-1, 1] (Zhang et al. 2018)


class AlexNetFeatures(nn.Module):
    """The five convolutions of AlexNet (Krizhevsky et al. 2012, Krizhevsky 2014), fixed.

    Args:
        weights: as `load_weights` reads them; kernels are `[height, width, in, out]`.
    """

    def __init__(self, weights: WeightsByPath) -> None:
        super().__init__()
        for layer in range(LAYERS):
            kernel = torch.from_numpy(weights[f"AlexNet_0/Conv_{layer}/kernel"])
            self.register_buffer(f"kernel_{layer}", kernel.permute(3, 2, 0, 1).contiguous())
            self.register_buffer(f"bias_{layer}", torch.from_numpy(weights[f"AlexNet_0/Conv_{layer}/bias"]))
            head = torch.from_numpy(weights[f"NetLinLayer_{layer}/Conv_0/kernel"])
            self.register_buffer(f"head_{layer}", head.reshape(1, -1, 1, 1))
        self.register_buffer("shift", torch.tensor(_SHIFT).reshape(3, 1, 1))
        self.register_buffer("scale", torch.tensor(_SCALE).reshape(3, 1, 1))

    def forward(self, images: Tensor, last: int = LAYERS) -> list[Tensor]:
        """Feature maps after the convolutions 1 … `last`: `[image, feature, height, width]` each.

        Args:
            images: `[image, channel, height, width]` in [0, 1], of three channels, or one that stands for all.
            last: how many convolutions are taken.
        """
        x = (2.0 * images - 1.0 - self.get_buffer("shift")) / self.get_buffer("scale")
        found: list[Tensor] = []
        for layer in range(last):
            if layer in _POOLED:
                x = F.max_pool2d(x, 3, 2)
            kernel, bias = self.get_buffer(f"kernel_{layer}"), self.get_buffer(f"bias_{layer}")
            x = F.conv2d(x, kernel, bias, _STRIDES[layer], _PADDINGS[layer]).relu()
            found.append(x)
        return found

    def distance(self, first: Tensor, second: Tensor) -> Tensor:
        """LPIPS, at least 0, of images as `forward` takes them: `[image]`. Zhang et al. 2018, linear, version 0.1.

        Σ over layers of the mean over positions of Σ_c w_c (f_c/‖f‖ - g_c/‖g‖)².
        """
        total = torch.zeros(len(first), dtype=first.dtype, device=first.device)
        for layer, (one, other) in enumerate(zip(self(first), self(second), strict=True)):
            gap = (_normalised(one) - _normalised(other)).square()
            total = total + (gap * self.get_buffer(f"head_{layer}")).sum(1).mean((1, 2))
        return total


def _normalised(features: Tensor) -> Tensor:
    length = features.square().sum(1, keepdim=True).clamp(min=1e-20).sqrt()  # a root has no slope at zero
    return features / (length + 1e-10)


@cache
def alexnet(device: torch.device) -> AlexNetFeatures:
    """The network on a device.

    Raises:
        UserError: its weights are missing or damaged.
    """
    return AlexNetFeatures(load_weights(DATASET)).to(device)
