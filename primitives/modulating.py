"""Factors and terms that re-weight or reshape a loss; elementwise, with the axes of their arguments."""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.primitive import primitive
from lossearch.ir.operators import functions as fn

FAMILY = "modulating"


@primitive(family=FAMILY)
def modulating_factor(probability: Expr, gamma: Expr) -> Expr:
    """Down-weight easy examples by (1 - p)^γ; probability in [0, 1], gamma ≥ 0. Lin et al. 2017."""
    return (1 - probability) ** gamma


@primitive(family=FAMILY)
def power_factor(probability: Expr, exponent: Expr) -> Expr:
    """Down-weight improbable, perhaps mislabelled, examples by p^k; probability ≥ 0, exponent k ≥ 0."""
    return probability**exponent


@primitive(family=FAMILY)
def exponential_factor(value: Expr, rate: Expr) -> Expr:
    """e^(-rate·value): weights that fade with the value for rate > 0 and grow for rate < 0; held at e^60."""
    return fn.exp(-(rate * value))


@primitive(family=FAMILY)
def poly1_term(probability: Expr, epsilon: Expr) -> Expr:
    """First-order term ε(1 - p) of the Taylor series of cross-entropy; probability in [0, 1]. Leng et al. 2022."""
    return epsilon * (1 - probability)


@primitive(family=FAMILY)
def polynomial_term(probability: Expr, coefficient: Expr, *, degree: int = 2) -> Expr:
    """Term c(1 - p)^k of degree k ≥ 1 of a polynomial loss; probability in [0, 1]. Leng et al. 2022."""
    return coefficient * (1 - probability) ** float(degree)


@primitive(family=FAMILY)
def temperature_scaling(logits: Expr, temperature: Expr) -> Expr:
    """Logits divided by a temperature > 0; below one sharpens, above one softens. Hinton et al. 2015."""
    return logits / temperature


@primitive(family=FAMILY)
def soft_gate(value: Expr, threshold: Expr, width: Expr) -> Expr:
    """Smooth step σ((value - threshold)/width) in [0, 1]; width > 0."""
    return fn.sigmoid((value - threshold) / width)


@primitive(family=FAMILY)
def capped(value: Expr, bound: Expr) -> Expr:
    """min(value, bound): what exceeds the bound, perhaps an outlier, has no gradient; elementwise."""
    return fn.minimum(value, bound)


@primitive(family=FAMILY)
def compressed(value: Expr) -> Expr:
    """log(1 + value): large values, perhaps outliers, grow slowly; value ≥ 0."""
    return fn.log1p(value)


@primitive(family=FAMILY)
def saturated(value: Expr, scale: Expr) -> Expr:
    """value/(1 + value/scale): linear near zero, always below `scale`; value ≥ 0, scale > 0."""
    return scale * value / (scale + value)
