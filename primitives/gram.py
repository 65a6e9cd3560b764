"""Gram matrices of feature maps `features[batch, channel, *space]`."""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.primitive import primitive
from lossearch.ir.operators import functions as fn

FAMILY = "gram"


@primitive(family=FAMILY)
def gram_matrix(features: Expr) -> Expr:
    """Σ_space F_i F_j divided by the number of positions: [batch, channel, channel']. Gatys et al. 2016."""
    other = fn.rename(features, "channel", "channel'")
    return fn.contract(features, other, "space") / fn.size(features, "space")


@primitive(family=FAMILY)
def gram_difference(features: Expr, target: Expr) -> Expr:
    """Mean squared difference of two Gram matrices over pairs of channels: [batch], ≥ 0. Gatys et al. 2016."""
    # F Fᵀ - P Pᵀ is the symmetric part of (F - P)(F + P)ᵀ: one product, which does not cancel where F is near P.
    other = fn.rename(features + target, "channel", "channel'")
    product = fn.contract(features - target, other, "space") / fn.size(features, "space")
    difference = (product + fn.rename(product, "channel", "channel'")) / 2
    return fn.mean(fn.square(difference), ("channel", "channel'"))
