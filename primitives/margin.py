"""Margins: hinge losses over scores, and margins on the true class of cosine logits.

`cosine[batch, class]` holds cosines between embeddings and class centres, `target[batch, class]` is one-hot.
"""

from __future__ import annotations

import math

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.primitive import primitive
from lossearch.ir.operators import functions as fn

FAMILY = "margin"


@primitive(family=FAMILY)
def hinge(value: Expr, margin: Expr) -> Expr:
    """max(margin - value, 0): zero once the value exceeds the margin; elementwise. Cortes and Vapnik 1995."""
    return fn.relu(margin - value)


@primitive(family=FAMILY)
def softplus_margin(value: Expr, margin: Expr) -> Expr:
    """log(1 + e^(margin - value)): a smooth hinge; elementwise, ≥ 0. Friedman et al. 2000."""
    return fn.softplus(margin - value)


@primitive(family=FAMILY, class_weights="by number")
def multiclass_hinge(logits: Expr, target: Expr, margin: Expr) -> Expr:
    """Σ_{c≠y} max(margin - x_y + x_c, 0) / C of logits[batch, class, *space]: [batch, *space], ≥ 0; margin ≥ 0.

    For a soft target the expected score ⟨t, x⟩ stands for x_y. Weston and Watkins 1999.
    """
    true_score = fn.contract(target, logits, "class")
    # The term c = y of the sum is the margin itself.
    every = fn.sum(fn.relu(margin + (logits - true_score)), "class")
    return (every - margin) / fn.size(logits, "class")


@primitive(family=FAMILY, class_weights="by number")
def squared_multiclass_hinge(logits: Expr, target: Expr, margin: Expr) -> Expr:
    """Σ_{c≠y} max(margin - x_y + x_c, 0)² / C of logits[batch, class, *space]: [batch, *space], ≥ 0; margin ≥ 0.

    For a soft target the expected score ⟨t, x⟩ stands for x_y.
    """
    true_score = fn.contract(target, logits, "class")
    every = fn.sum(fn.square(fn.relu(margin + (logits - true_score))), "class")
    return (every - fn.square(margin)) / fn.size(logits, "class")


@primitive(family=FAMILY)
def additive_cosine_margin(cosine: Expr, target: Expr, margin: Expr) -> Expr:
    """Cosines with that of the true class lowered by the margin: [batch, class]. Wang et al. 2018 (CosFace)."""
    return cosine - margin * target


def _replace_true_class(cosine: Expr, target: Expr, true_cosine: Expr, replacement: Expr) -> Expr:
    return cosine + target * (replacement - true_cosine)


@primitive(family=FAMILY)
def additive_angular_margin(cosine: Expr, target: Expr, margin: Expr) -> Expr:
    """Cosines with that of the true class replaced by cos(θ + m): [batch, class]; margin m in [0, π]. Deng et al. 2019.

    Beyond θ = π - m, where cos(θ + m) would rise again, it goes on as cos θ - m·sin m, as the authors' code does.
    """
    true_cosine = fn.contract(target, cosine, "class")
    # cos(θ + m) = cos θ cos m - sin θ sin m needs no acos, whose slope has poles at ±1.
    sine = fn.sqrt(1 - fn.square(true_cosine))
    moved = true_cosine * fn.cos(margin) - sine * fn.sin(margin)
    beyond = true_cosine - margin * fn.sin(margin)
    lowered = fn.where(fn.greater(true_cosine, -fn.cos(margin)), moved, beyond)
    return _replace_true_class(cosine, target, true_cosine, lowered)


@primitive(family=FAMILY)
def multiplicative_angular_margin(cosine: Expr, target: Expr, margin: Expr) -> Expr:
    """Cosines with that of the true class replaced by cos(min(m·θ, π)): [batch, class]; margin m ≥ 1.

    The monotone form of SphereFace for any real m. Liu et al. 2017, Liu et al. 2022 (SphereFace-R).
    """
    true_cosine = fn.contract(target, cosine, "class")
    lowered = fn.cos(fn.minimum(margin * fn.acos(true_cosine), math.pi))
    return _replace_true_class(cosine, target, true_cosine, lowered)
