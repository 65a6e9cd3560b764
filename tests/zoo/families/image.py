"""Images: PyTorch and torchmetrics where they cover the rank, else the papers' formulas in plain convolutions."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.image import structural_similarity_index_measure
from torchmetrics.functional.image import total_variation as library_total_variation

from ..harness import Case
from ..samples import Sample, Samples

SHAPES = {
    "0-D": (3, 2),
    "one element": (1, 1, 1),
    "1-D": (2, 3, 5),
    "2-D": (2, 3, 4, 5),
    "3-D": (2, 2, 2, 3, 2),
    "short window": (1, 1, 12),
    "one window": (2, 1, 11, 11),
    "windows": (2, 3, 13, 17),
    "windows in 3-D": (1, 2, 12, 11, 13),
    "five scales": (2, 2, 176, 192),
    "five scales in 1-D": (2, 3, 163),
    "five scales, odd": (1, 1, 163, 175),
}
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)


def l1(image: Tensor, target: Tensor) -> Tensor:
    return F.l1_loss(image, target, reduction="none")


def charbonnier(image: Tensor, target: Tensor, eps: float) -> Tensor:
    """As Charbonnier et al.: a hypotenuse."""
    return torch.hypot(image - target, torch.full_like(image, eps))


def lorentzian(image: Tensor, target: Tensor, scale: float) -> Tensor:
    """As Black and Anandan: the logarithm of a Student t density with one degree of freedom."""
    density = torch.distributions.StudentT(1.0, scale=scale).log_prob(image - target)
    return scale**2 / 2 * (torch.distributions.StudentT(1.0, scale=scale).log_prob(torch.tensor(0.0)) - density)


def _steps(image: Tensor) -> list[Tensor]:
    """Forward differences along every spatial axis, zero at the far edge."""
    edges = [image.narrow(d, image.shape[d] - 1, 1) for d in range(2, image.ndim)]
    return [torch.diff(image, dim=d, append=edge) for d, edge in enumerate(edges, start=2)]


def total_variation(image: Tensor, isotropic: bool = False) -> Tensor:
    """torchmetrics for images of two axes, else the definition."""
    if not isotropic and image.ndim == 4:
        return library_total_variation(image, reduction="none")
    steps = torch.stack([*_steps(image), 0.0 * image])
    length = torch.linalg.vector_norm(steps, dim=0) if isotropic else steps.abs().sum(0)
    return length.flatten(1).sum(1)


def gradient_difference(image: Tensor, target: Tensor) -> Tensor:
    """Equation 6 of Mathieu et al. with α = 1, with forward differences; zero without a direction."""
    if image.ndim == 2:
        return 0.0 * image
    terms = [(a.abs() - b.abs()).abs() for a, b in zip(_steps(image), _steps(target), strict=True)]
    return torch.stack(terms).sum(0)


def gradient_matching(image: Tensor, target: Tensor, norm: str = "squared") -> Tensor:
    """Equation 4 of Eigen and Fergus, its last terms, with forward differences; zero without a direction."""
    if image.ndim == 2:
        return 0.0 * image
    apart = torch.stack([a - b for a, b in zip(_steps(image), _steps(target), strict=True)])
    return (apart**2 if norm == "squared" else apart.abs()).sum(0)


def focal_frequency(image: Tensor, target: Tensor, alpha: float) -> Tensor:
    """Equations 4 and 5 of Jiang et al. by PyTorch's transform of both images; over as many axes as there are."""
    space = tuple(range(2, image.ndim))
    x, y = (torch.fft.fftn(i, dim=space, norm="ortho") if space else i + 0j for i in (image, target))
    error = torch.view_as_real(x - y).square().sum(-1).reshape(*image.shape[:2], -1)
    weight = error.detach().sqrt() ** alpha
    weight = weight / weight.amax(2, keepdim=True).clamp(min=1e-30)
    return (weight * error).flatten(1).mean(1)


def reconstruction(image: Tensor, target: Tensor, norm: str = "squared") -> Tensor:
    error = F.mse_loss if norm == "squared" else F.l1_loss
    return torch.stack([error(x, y, reduction="sum") for x, y in zip(image, target, strict=True)])


def masked_reconstruction(image: Tensor, target: Tensor, masked: Tensor, norm: str = "squared") -> Tensor:
    """As the authors' code: (loss * mask), before the division by the sum of the mask."""
    difference = image - target
    error = difference**2 if norm == "squared" else difference.abs()
    return error.mean(1) * masked


def _mask(image: Tensor, target: Tensor, masked: Tensor) -> Tensor:
    return masked


def cycle_consistency(
    first_cycle: Tensor, second_cycle: Tensor, first: Tensor, second: Tensor, weight: float
) -> Tensor:
    """Equation 2 of Zhu et al., before the expectation."""
    return weight * (l1(first_cycle, first) + l1(second_cycle, second))


def _blurred(x: Tensor) -> Tensor:
    """Gaussian windows of 11 with σ = 1.5, only where they fit, one axis after another."""
    kernel = torch.exp(-((torch.arange(11, dtype=x.dtype) - 5) ** 2) / (2 * 1.5**2))
    for d in range(2, x.ndim):
        x = (x.unfold(d, 11, 1) * (kernel / kernel.sum())).sum(-1)
    return x


def _similarity(image: Tensor, target: Tensor, data_range: float) -> tuple[Tensor, Tensor]:
    """Equation 13 of Wang et al. 2004 and its second factor, averaged over an image."""
    c1, c2 = (0.01 * data_range) ** 2, (0.03 * data_range) ** 2
    mx, my = _blurred(image), _blurred(target)
    vx, vy = _blurred(image**2) - mx**2, _blurred(target**2) - my**2
    structure = (2 * (_blurred(image * target) - mx * my) + c2) / (vx + vy + c2)
    luminance = (2 * mx * my + c1) / (mx**2 + my**2 + c1)
    return (luminance * structure).flatten(1).mean(1), structure.flatten(1).mean(1)


def ssim(image: Tensor, target: Tensor, data_range: float) -> Tensor:
    """torchmetrics' map for images of two and three axes; else the formula.

    The library averages over its reflected border too, the paper over the windows inside: five from every edge.
    """
    if image.ndim not in (4, 5):
        return 1 - _similarity(image, target, data_range)[0]
    _, found = structural_similarity_index_measure(image, target, data_range=data_range, return_full_image=True)
    for d in range(2, image.ndim):
        found = found.narrow(d, 5, found.shape[d] - 10)
    return 1 - found.flatten(1).mean(1)


def _halved(x: Tensor) -> Tensor:
    """Means over blocks of two, where the last of an odd number is repeated: the authors' symmetric border."""
    if x.ndim == 4 and x.shape[2] % 2 == x.shape[3] % 2 == 0:
        return F.avg_pool2d(x, 2)
    for d in range(2, x.ndim):
        if x.shape[d] % 2:
            x = torch.cat([x, x.narrow(d, x.shape[d] - 1, 1)], d)
        x = x.unfold(d, 2, 2).mean(-1)
    return x


def ms_ssim(image: Tensor, target: Tensor, data_range: float) -> Tensor:
    """Equation 7 of Wang et al. 2003, with means where they are negative taken as zero.

    torchmetrics has windows inside at all scales but the last, where it averages over its reflected border.
    """
    product = torch.ones(len(image), dtype=image.dtype)
    for weight in SCALE_WEIGHTS[:-1]:
        product = product * torch.relu(_contrast(image, target, data_range)) ** weight
        image, target = _halved(image), _halved(target)
    return 1 - product * torch.relu(_similarity(image, target, data_range)[0]) ** SCALE_WEIGHTS[-1]


def _contrast(image: Tensor, target: Tensor, data_range: float) -> Tensor:
    """torchmetrics for images of two axes, else the formula."""
    if image.ndim != 4:
        return _similarity(image, target, data_range)[1]
    return structural_similarity_index_measure(
        image, target, data_range=data_range, reduction="none", return_contrast_sensitivity=True
    )[1]


def _values(*shape: int, seed: int) -> Tensor:
    return torch.rand(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _pair(shape: tuple[int, ...], seed: int = 1) -> tuple[Tensor, Tensor]:
    """An image and another with the same structure in it, so that no similarity is negative."""
    image = _values(*shape, seed=seed)
    return 0.6 * image + 0.4 * _values(*shape, seed=seed + 1), image


def images() -> list[Sample]:
    same = _values(1, 2, 12, 11, seed=5)
    flat = torch.full((1, 1, 12, 12), 0.25, dtype=torch.float64)
    return [
        *(Sample(name, _pair(shape)) for name, shape in SHAPES.items()),
        Sample("equal", (same, same.clone()), differentiable=False),
        Sample("flat", (flat, flat + 0.5), differentiable=False),
        Sample("opposite", (1 - same, same)),
    ]


def alone() -> list[Sample]:
    small = {name: shape for name, shape in SHAPES.items() if math.prod(shape) < 1000}
    flat = torch.full((2, 3, 4, 4), 0.5, dtype=torch.float64)
    return [
        *(Sample(name, _pair(shape)[:1], differentiable=name != "one element") for name, shape in small.items()),
        Sample("flat", (flat,), differentiable=False),
    ]


def masked() -> list[Sample]:
    """Some positions masked, all, none, and every rank."""
    shapes = {name: shape for name, shape in SHAPES.items() if math.prod(shape) < 1000}
    some = [
        Sample(name, (*_pair(shape), (_values(shape[0], *shape[2:], seed=7) < 0.6).double()))
        for name, shape in shapes.items()
    ]
    every, none = torch.ones(2, 4, 5, dtype=torch.float64), torch.zeros(2, 4, 5, dtype=torch.float64)
    pair = _pair((2, 3, 4, 5))
    return [*some, Sample("all masked", (*pair, every)), Sample("none masked", (*pair, none))]


def cycles() -> list[Sample]:
    shapes = {name: shape for name, shape in SHAPES.items() if math.prod(shape) < 1000}
    pairs = {name: (_pair(shape, seed=1), _pair(shape, seed=3)) for name, shape in shapes.items()}
    return [Sample(name, (a[0], b[0], a[1], b[1])) for name, (a, b) in pairs.items()]


EXTREME_SHAPES = {"small": (2, 3, 4, 4), "windows": (1, 2, 12, 11), "five scales": (2, 1, 161, 161)}


def _extremes() -> list[tuple[str, Tensor]]:
    """Constant levels and noise of the largest size, small and large."""
    found = []
    for name, shape in EXTREME_SHAPES.items():
        ones = torch.ones(shape, dtype=torch.float64)
        noise = 2.0 * _values(*shape, seed=11) - 1.0
        levels = {"high": 1e4 * ones, "low": -1e4 * ones, "zero": 0.0 * ones, "signs": 1e4 * noise.sign()}
        found += [(f"{name}, {level}", x) for level, x in levels.items()]
        found.append((f"{name}, tiny", 1e-30 * noise))
    return found


def extreme_images() -> list[Sample]:
    values = _extremes()
    return [Sample(f"{a}, {b}", (x, y)) for a, x in values for b, y in values if x.shape == y.shape]


def extreme_alone() -> list[Sample]:
    return [Sample(name, (x,)) for name, x in _extremes()]


def extreme_masked() -> list[Sample]:
    """Nothing masked, one position, all."""
    masks = torch.zeros(3, 2, 4, 4, dtype=torch.float64)
    masks[1, 0, 0, 0], masks[2] = 1.0, 1.0
    pairs = [s for s in extreme_images() if s.prediction.shape == EXTREME_SHAPES["small"]]
    return [Sample(f"{s.name}, {int(m.sum())} masked", (*s.inputs, m)) for s in pairs for m in masks]


def extreme_cycles() -> list[Sample]:
    pairs = [s for s in extreme_images() if s.prediction.shape == EXTREME_SHAPES["small"]]
    return [Sample(s.name, (*s.inputs, *s.inputs[::-1])) for s in pairs]


def _empty(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


def empty_images() -> list[Sample]:
    shapes = ((0, 3), (0, 3, 4, 4), (0, 3, 176, 176), (2, 3, 0, 4))
    return [Sample(f"{shape}", (_empty(*shape), _empty(*shape))) for shape in shapes]


CASES = [
    Case("l1", l1, twice=False),
    *(Case("charbonnier", charbonnier, {"eps": eps}) for eps in (1e-3, 0.5)),
    *(Case("lorentzian", lorentzian, {"scale": scale}) for scale in (0.1, 2.0)),
    Case("gradient_difference", gradient_difference, twice=False),
    Case("gradient_matching", gradient_matching),
    Case("gradient_matching", gradient_matching, {"norm": "absolute"}, twice=False),
    *(Case("focal_frequency", focal_frequency, {"alpha": alpha}) for alpha in (1.0, 0.0, 2.5)),
    Case("total_variation", total_variation, twice=False),
    Case("total_variation", total_variation, {"isotropic": True}),
    *(Case("ssim", ssim, {"data_range": level}) for level in (1.0, 2.5)),
    *(Case("ms_ssim", ms_ssim, {"data_range": level}) for level in (1.0, 2.5)),
    Case("reconstruction", reconstruction),
    Case("reconstruction", reconstruction, {"norm": "absolute"}, twice=False),
    Case("masked_reconstruction", masked_reconstruction, weight=_mask),
    Case("masked_reconstruction", masked_reconstruction, {"norm": "absolute"}, _mask, twice=False),
    *(Case("cycle_consistency", cycle_consistency, {"weight": weight}, twice=False) for weight in (10.0, 0.3)),
]

ORDINARY: dict[str, Samples] = {"image": images, "image_prior": alone, "masked_image": masked, "cycle": cycles}
EMPTY: dict[str, Samples] = {
    "image": empty_images,
    "image_prior": lambda: [Sample(s.name, s.inputs[:1]) for s in empty_images()],
    "masked_image": lambda: [Sample("empty", (_empty(0, 3, 4), _empty(0, 3, 4), _empty(0, 4)))],
    "cycle": lambda: [Sample("empty", tuple(_empty(0, 3, 4) for _ in range(4)))],
}
EXTREME: dict[str, Samples] = {
    "image": extreme_images,
    "image_prior": extreme_alone,
    "masked_image": extreme_masked,
    "cycle": extreme_cycles,
}
