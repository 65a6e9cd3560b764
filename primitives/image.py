"""Image quality and smoothness of `image[batch, channel, *space]`, at any resolution of space."""

from __future__ import annotations

from lossearch.ir.core.axes import SPATIAL_AXES
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.primitive import primitive
from lossearch.ir.operators import functions as fn
from lossearch.ir.operators.neighbourhood import resolution

FAMILY = "image"

LUMINANCE, CONTRAST = 0.01, 0.03
"""K₁ and K₂ of SSIM, which times the data range keep its quotients away from 0/0. Wang et al. 2004."""


SMALLEST = 1e-9
"""Similarity that counts as none."""


@primitive(family=FAMILY)
def charbonnier_penalty(residual: Expr, epsilon: Expr) -> Expr:
    """√(r² + ε²): |r| far from zero and smooth at it; elementwise, ≥ ε; ε > 0. Charbonnier et al. 1994."""
    return fn.sqrt(fn.square(residual) + fn.square(epsilon))


@primitive(family=FAMILY)
def absolute_gradient(image: Expr) -> Expr:
    """Σ_d |∂_d x| over the directions of space, with forward differences: [batch, channel, *space], ≥ 0."""
    first, *others = [fn.abs(fn.difference(image, direction)) for direction in SPATIAL_AXES]
    for other in others:
        first = first + other
    return first


@primitive(family=FAMILY)
def gradient_length(image: Expr) -> Expr:
    """√(Σ_d (∂_d x)²) over the directions of space, with forward differences: ≥ 0. Rudin et al. 1992."""
    squared, *others = [fn.square(fn.difference(image, direction)) for direction in SPATIAL_AXES]
    for other in others:
        squared = squared + other
    # The root is exactly zero, with gradient zero, where an image is flat.
    return fn.where(fn.greater(squared, 0), fn.sqrt(squared), 0)


def _level(image: Expr) -> Expr:
    """The image's mean over space, as a number.

    Windows of squares cancel far from zero. Deviations from windows' means do not change when an image is moved, so
    no gradient needs to know by how much it was.
    """
    return fn.stop_gradient(fn.mean(image, resolution(image)))


def _structure_loss(image: Expr, target: Expr, data_range: Expr, size: int, sigma: float) -> Expr:
    """Half of 1 - (2σ_xy + C₂)/(σ_x² + σ_y² + C₂) = σ²_(x-y)/(σ_x² + σ_y² + C₂): zero where images are equal."""

    def window(x: Expr) -> Expr:
        return fn.gaussian_window(x, size, sigma)

    x, y = image - _level(image), target - _level(target)
    mean, target_mean = window(x), window(y)
    # Variances are ≥ 0, and that of the difference is ≤ 2(σ_x² + σ_y²); rounding alone can say otherwise.
    variances = fn.relu(window(fn.square(x) + fn.square(y)) - (fn.square(mean) + fn.square(target_mean)))
    of_difference = fn.relu(window(fn.square(x - y)) - fn.square(mean - target_mean))
    return fn.fraction(of_difference, 2 * (variances + fn.square(CONTRAST * data_range)))


def _luminance_loss(image: Expr, target: Expr, data_range: Expr, size: int, sigma: float) -> Expr:
    """Half of 1 - (2μ_x μ_y + C₁)/(μ_x² + μ_y² + C₁) = (μ_x - μ_y)²/(μ_x² + μ_y² + C₁)."""
    level, target_level = _level(image), _level(target)
    above, target_above = (fn.gaussian_window(x - y, size, sigma) for x, y in ((image, level), (target, target_level)))
    squares = fn.square(above + level) + fn.square(target_above + target_level)
    apart = (above - target_above) + (level - target_level)
    return fn.fraction(fn.square(apart), 2 * (squares + fn.square(LUMINANCE * data_range)))


@primitive(family=FAMILY)
def structure_similarity(image: Expr, target: Expr, data_range: Expr, *, size: int = 11, sigma: float = 1.5) -> Expr:
    """Contrast and structure (2σ_xy + C₂)/(σ_x² + σ_y² + C₂) in each window: in [-1, 1]. Wang et al. 2004."""
    return 1 - 2 * _structure_loss(image, target, data_range, size, sigma)


@primitive(family=FAMILY)
def luminance_similarity(image: Expr, target: Expr, data_range: Expr, *, size: int = 11, sigma: float = 1.5) -> Expr:
    """Luminance (2μ_x μ_y + C₁)/(μ_x² + μ_y² + C₁) in each window: in [-1, 1]. Wang et al. 2004."""
    return 1 - 2 * _luminance_loss(image, target, data_range, size, sigma)


@primitive(family=FAMILY)
def interior_mean(values: Expr, *, size: int = 11) -> Expr:
    """Mean over channels and over the places where a window of `size` fits inside: [batch]."""
    axis = resolution(values)
    inside = fn.interior(values, size)
    total = fn.contract(fn.mean(values, "channel"), inside, axis)
    # A mean lies between its values.
    return fn.clamp(total / fn.clamp(fn.sum(inside, axis), lower=1.0), values.lower, values.upper)


@primitive(family=FAMILY)
def structural_similarity(image: Expr, target: Expr, data_range: Expr, *, size: int = 11, sigma: float = 1.5) -> Expr:
    """SSIM, luminance times contrast and structure, averaged over an image: [batch] in [-1, 1]. Wang et al. 2004."""
    structure = _structure_loss(image, target, data_range, size, sigma)
    luminance = _luminance_loss(image, target, data_range, size, sigma)
    # 1 - (1 - 2a)(1 - 2b) = 2(a + b - 2ab) is exact where images are nearly equal.
    return 1 - 2 * fn.clamp(interior_mean(luminance + structure - 2 * luminance * structure, size=size), 0.0, 1.0)


@primitive(family=FAMILY)
def positive_power(base: Expr, exponent: Expr) -> Expr:
    """x^e where x > 1e-9, else 0 with gradient 0; elementwise, e > 0: finite slopes for exponents below one."""
    return fn.where(fn.greater(base, SMALLEST), fn.clamp(base, lower=SMALLEST) ** exponent, 0)
