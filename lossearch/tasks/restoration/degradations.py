"""How images are degraded. Noise, holes and haze are made up; what they are laid over are photographs.

Each function maps clean images `[sample, channel, height, width]`, float32 in [0, 1], to what a network is given.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

AIRLIGHT = (0.7, 1.0)
"""Brightness of the haze, from which that of an image is drawn (Li et al. 2019)."""


@dataclass(frozen=True)
class Degradation:
    """A way in which images are degraded.

    Attributes:
        apply: `(images, strength, random numbers)`, gives what a network is given.
        strength: what the strength is, for messages and descriptions.
        largest: strength that makes sense.
        gaps: whether a further channel tells by ones where the image is gone.
    """

    apply: Callable[[Tensor, float, np.random.Generator], Tensor]
    strength: str
    largest: float
    gaps: bool = False


def gaussian_noise(images: Tensor, strength: float, draw: np.random.Generator) -> Tensor:
    """Normal noise of standard deviation `strength` on every value."""
    return images + strength * _normal(images.shape, draw)


def impulse_noise(images: Tensor, strength: float, draw: np.random.Generator) -> Tensor:
    """A share `strength` of the pixels has any other colour (random-valued impulses)."""
    hit = _uniform((len(images), 1, *images.shape[2:]), draw) < strength
    return torch.where(hit, _uniform(images.shape, draw), images)


def low_resolution(images: Tensor, strength: float, draw: np.random.Generator) -> Tensor:
    """The mean of squares of `strength` pixels a side, enlarged again bicubically, as in Dong et al. 2014."""
    small = F.avg_pool2d(images, int(strength))
    return F.interpolate(small, size=images.shape[2:], mode="bicubic", align_corners=False)


def holes(images: Tensor, strength: float, draw: np.random.Generator) -> Tensor:
    """A square of a share `strength` of both sides is gone somewhere; where, a further channel tells by ones."""
    count, _, *sides = images.shape
    places = [torch.arange(side) for side in sides]
    inside: list[Tensor] = []
    for side, place in zip(sides, places, strict=True):
        width = max(1, round(strength * side))
        first = torch.from_numpy(draw.integers(side - width + 1, size=(count, 1)))
        inside.append((place >= first) & (place < first + width))
    gone = (inside[0].unsqueeze(2) & inside[1].unsqueeze(1)).unsqueeze(1).float()
    return torch.cat([images * (1.0 - gone) + 0.5 * gone, gone], 1)


def haze(images: Tensor, strength: float, draw: np.random.Generator) -> Tensor:
    """J·t + A·(1 - t) with transmission t = exp(-β·d): the atmospheric scattering model (Narasimhan and Nayar 2002).

    The depth d, in [0, 1], is made up: smooth random hills that are farther away towards the top of the image. β is
    drawn from [strength / 3, strength], the airlight A from `AIRLIGHT`, anew for each image.
    """
    count, _, height, width = images.shape
    hills = F.interpolate(_uniform((count, 1, 4, 4), draw), size=(height, width), mode="bicubic", align_corners=False)
    slope = torch.linspace(1.0, 0.0, height).unsqueeze(1)
    depth = ((hills + slope) / 2.0).clamp(0.0, 1.0)
    thickness = strength * (1.0 + 2.0 * _uniform((count, 1, 1, 1), draw)) / 3.0
    low, high = AIRLIGHT
    airlight = low + (high - low) * _uniform((count, 1, 1, 1), draw)
    transmission = torch.exp(-thickness * depth)
    return images * transmission + airlight * (1.0 - transmission)


def _uniform(shape: tuple[int, ...] | torch.Size, draw: np.random.Generator) -> Tensor:
    return torch.from_numpy(draw.random(tuple(shape), dtype=np.float32))


def _normal(shape: tuple[int, ...] | torch.Size, draw: np.random.Generator) -> Tensor:
    return torch.from_numpy(draw.standard_normal(tuple(shape), dtype=np.float32))


DEGRADATIONS = {
    "gaussian_noise": Degradation(gaussian_noise, "standard deviation", 1.0),
    "impulse_noise": Degradation(impulse_noise, "share of the pixels", 1.0),
    "low_resolution": Degradation(low_resolution, "pixels a side that become one", 8.0),
    "holes": Degradation(holes, "share of each side", 1.0, gaps=True),
    "haze": Degradation(haze, "largest thickness", 10.0),
}
"""By name."""
