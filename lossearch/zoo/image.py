"""Losses for images: `image[batch, channel, *space]` and `target` of the same axes, in any range of intensities."""

from __future__ import annotations

import math

import lossearch.primitives as pr
from lossearch.ir.core.axes import SPATIAL_AXES
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import NON_NEGATIVE, POSITIVE, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import choose, hand_designed

SIGNATURE = "image"
WHOLE = ("channel", "space")
NORMS = {"squared": fn.square, "absolute": fn.abs}
DATA_RANGE = Parameter("data_range", 1.0, 1.0, 1e4, log=True, defined=(1e-4, math.inf))
SCALE_WEIGHTS = (0.0448, 0.2856, 0.3001, 0.2363, 0.1333)
"""How much each scale of MS-SSIM counts, from the finest."""


@hand_designed(signature=SIGNATURE, source="Zhao et al. 2017")
def l1(image: Expr, target: Expr) -> Expr:
    """Absolute error |x - y| of each value, as `torch.nn.functional.l1_loss`."""
    return fn.abs(image - target)


@hand_designed(
    signature=SIGNATURE,
    source="Charbonnier et al. 1994",
    parameters=[Parameter("eps", 1e-3, 1e-6, 10.0, tunable=True, log=True, defined=(1e-6, math.inf))],
)
def charbonnier(image: Expr, target: Expr, eps: Expr) -> Expr:
    """Charbonnier loss √((x - y)² + ε²) of each value: the absolute error, smooth at zero, where it is ε."""
    return pr.charbonnier_penalty(image - target, eps)


@hand_designed(
    signature=SIGNATURE,
    source="Black and Anandan 1996",
    parameters=[Parameter("scale", 0.1, 1e-3, 1e3, tunable=True, log=True, search=(0.01, 1.0), defined=POSITIVE)],
)
def lorentzian(image: Expr, target: Expr, scale: Expr) -> Expr:
    """Lorentzian error norm c²/2·log(1 + ((x - y)/c)²) of each value, c the `scale`, in units of the images.

    Values that are far off pull ever less: for targets of which some pixels are wrong.
    """
    return fn.square(scale) / 2 * fn.log1p(fn.square((image - target) / scale))


@hand_designed(signature="image_prior", source="Rudin et al. 1992")
def total_variation(image: Expr, *, isotropic: bool = False) -> Expr:
    """Total variation of each image: Σ over channels, positions and directions d of |∂_d x|, forward differences.

    `isotropic=True` takes the gradient's length √(Σ_d (∂_d x)²) at each position, as in the original paper; the
    anisotropic sum is what restoration networks use.
    """
    gradient = choose("isotropic", isotropic, {False: pr.absolute_gradient, True: pr.gradient_length})
    return fn.sum(gradient(image), WHOLE)


@hand_designed(signature=SIGNATURE, source="Wang et al. 2004", parameters=[DATA_RANGE])
def ssim(image: Expr, target: Expr, data_range: Expr, *, size: int = 11, sigma: float = 1.5) -> Expr:
    """Structural dissimilarity 1 - SSIM of each image, in [0, 2], over the windows that lie wholly inside.

    Windows are Gaussian, `size` wide with standard deviation `sigma`; `data_range` L is the largest intensity less
    the smallest. Every side must be at least `size` long.
    """
    return 1 - pr.structural_similarity(image, target, data_range, size=size, sigma=sigma)


@hand_designed(signature=SIGNATURE, source="Wang et al. 2003", parameters=[DATA_RANGE])
def ms_ssim(image: Expr, target: Expr, data_range: Expr) -> Expr:
    """Multi-scale structural dissimilarity of each image, 1 - SSIM_5^w₅ · Π_{s<5} CS_s^{w_s}, in [0, 1].

    Five scales, each of half the size of the one before; CS is SSIM without luminance, and negative means count as
    zero. Windows are 11 wide with standard deviation 1.5. Of odd sizes the last row or column stands for its missing
    neighbour, as in the authors' code. Each scale is averaged over channels before the product; piq and pytorch-msssim
    take the product for each channel and average that. Every side must be at least 161 long.
    """
    similarity: Expr | None = None
    last = len(SCALE_WEIGHTS) - 1
    for scale, weight in enumerate(SCALE_WEIGHTS):
        if scale < last:
            mean = pr.interior_mean(pr.structure_similarity(image, target, data_range))
            image, target = fn.downsample(image), fn.downsample(target)
        else:
            mean = pr.structural_similarity(image, target, data_range)
        factor = pr.positive_power(mean, fn.constant(weight))
        similarity = factor if similarity is None else similarity * factor
    assert similarity is not None
    return 1 - similarity


@hand_designed(signature=SIGNATURE, source="Vincent et al. 2010")
def reconstruction(image: Expr, target: Expr, *, norm: str = "squared") -> Expr:
    """Reconstruction error of each image: ‖x - y‖², or the sum of |x - y| with `norm="absolute"`."""
    return fn.sum(choose("norm", norm, NORMS)(image - target), WHOLE)


@hand_designed(signature="masked_image", source="He et al. 2022")
def masked_reconstruction(image: Expr, target: Expr, masked: Expr, *, norm: str = "squared") -> tuple[Expr, Expr]:
    """Masked image modelling: the squared error averaged over channels, at positions that the model did not see.

    The mean is over masked positions only, and 0 where none is. `norm="absolute"` takes |x - y|. Targets normalised
    by patch, as the paper also tries, are given so.
    """
    return fn.mean(choose("norm", norm, NORMS)(image - target), "channel"), masked


@hand_designed(
    signature="cycle",
    source="Zhu et al. 2017",
    parameters=[Parameter("weight", 10.0, 1e-3, 1e3, tunable=True, log=True, defined=POSITIVE)],
)
def cycle_consistency(first_cycle: Expr, second_cycle: Expr, first: Expr, second: Expr, weight: Expr) -> Expr:
    """Cycle consistency λ(|F(G(x)) - x| + |G(F(y)) - y|) of each value, with λ the `weight`."""
    return weight * (fn.abs(first_cycle - first) + fn.abs(second_cycle - second))


@hand_designed(signature=SIGNATURE, source="Mathieu et al. 2016")
def gradient_difference(image: Expr, target: Expr) -> Expr:
    """Gradient difference loss Σ_d ||∂_d x| - |∂_d y|| of each value, over directions d, forward differences.

    It asks for edges as sharp as the reference's, beside a loss of intensities.
    """
    first, *others = [
        fn.abs(fn.abs(fn.difference(image, direction)) - fn.abs(fn.difference(target, direction)))
        for direction in SPATIAL_AXES
    ]
    return sum(others, first)


@hand_designed(signature=SIGNATURE, source="Eigen and Fergus 2015")
def gradient_matching(image: Expr, target: Expr, *, norm: str = "squared") -> Expr:
    """Squared error Σ_d (∂_d x - ∂_d y)² of the gradients at each value, over directions d, forward differences.

    For edges and depth, beside a loss of intensities. `norm="absolute"` takes |∂_d x - ∂_d y|; unlike
    `gradient_difference` it knows an edge's direction.
    """
    size = choose("norm", norm, NORMS)
    terms: list[Expr] = [size(fn.difference(image - target, direction)) for direction in SPATIAL_AXES]
    return sum(terms[1:], terms[0])


@hand_designed(
    signature=SIGNATURE,
    source="Jiang et al. 2021",
    parameters=[Parameter("alpha", 1.0, 0.0, 5.0, tunable=True, search=(0.0, 3.0), defined=NON_NEGATIVE)],
)
def focal_frequency(image: Expr, target: Expr, alpha: Expr) -> Expr:
    """Focal frequency loss mean w·|F(x) - F(y)|² of each image, w = (|F(x) - F(y)|/max |F(x) - F(y)|)^α.

    F is the orthonormal Fourier transform over the whole space, the maximum that of each channel's frequencies; w has
    no gradient. Frequencies that are badly restored count more; `mse` of an image at α = 0.
    """
    error = fn.power_spectrum(image - target)  # F is linear
    share = fn.fraction(error, fn.max(error, "space"))
    return fn.mean(fn.stop_gradient(share ** (alpha / 2)) * error, WHOLE)
