"""Metrics of restored images, one value for each image: `[..., channel, height, width]` to `[...]`."""

from __future__ import annotations

from functools import cache

from torch import Tensor, nn

from lossearch.tasks.alexnet import alexnet
from lossearch.tasks.base import Metric
from lossearch.zoo.named import hand_designed_loss

LEAST_ERROR = 1e-10
"""Mean squared error that counts as none: 100 dB."""

SMALLEST_SIDE = 11
"""Pixels of the window that SSIM looks through."""


def psnr(image: Tensor, target: Tensor) -> Tensor:
    """Peak signal-to-noise ratio 10·log₁₀(1 / MSE) in decibels, of images in [0, 1]; in [0, 100].

    Restored values are clipped to [0, 1], as they are where images are stored.
    """
    error = (image.clamp(0.0, 1.0) - target).square().flatten(-3).mean(-1)
    return -10.0 * error.clamp(min=LEAST_ERROR).log10()


def ssim(image: Tensor, target: Tensor) -> Tensor:
    """Structural similarity in [-1, 1], of images in [0, 1]. Wang et al. 2004: Gaussian windows 11 pixels wide."""
    dissimilarity = _dissimilarity()(image.clamp(0.0, 1.0).flatten(0, -4), target.flatten(0, -4))
    return 1.0 - dissimilarity.reshape(image.shape[:-3])


def lpips(image: Tensor, target: Tensor) -> Tensor:
    """Perceptual distance, at least 0, by features of AlexNet. Zhang et al. 2018."""
    network = alexnet(image.device)
    return network.distance(image.clamp(0.0, 1.0).flatten(0, -4), target.flatten(0, -4)).reshape(image.shape[:-3])


@cache
def _dissimilarity() -> nn.Module:
    return hand_designed_loss("ssim").to_module(reduction="none")


_FUNCTIONS = {"psnr": psnr, "ssim": ssim, "lpips": lpips}

METRICS = {
    metric.name: metric
    for metric in (
        # No upper end: a loss is held against what others reach, not against 100 dB, which nothing restores.
        Metric("psnr", True, 0.0, description="peak signal-to-noise ratio in dB, mean over images"),
        Metric("ssim", True, -1.0, 1.0, description="structural similarity, mean over images"),
        Metric("lpips", False, 0.0, description="LPIPS by AlexNet, mean over images"),
    )
}
"""By name."""


def measured(name: str, image: Tensor, target: Tensor) -> Tensor:
    """The values of a metric, one for each image."""
    return _FUNCTIONS[name](image, target)
