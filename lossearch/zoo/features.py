"""Losses between feature maps `features[batch, channel, *space]` and `target` of one layer of any network."""

from __future__ import annotations

import lossearch.primitives as pr
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import POSITIVE, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import hand_designed

WHOLE = ("channel", "space")


@hand_designed(signature="features", source="Gatys et al. 2016")
def style(features: Expr, target: Expr) -> Expr:
    """Style loss of one layer, Σ_ij (G_ij - A_ij)² / (4 N² M²) per image.

    G and A are the Gram matrices Σ_space F_i F_j of N channels over M positions.
    """
    return pr.gram_difference(features, target) / 4


@hand_designed(signature="features", source="Gatys et al. 2016")
def content(features: Expr, target: Expr) -> Expr:
    """Content loss of one layer, ½ Σ (F - P)² over channels and positions, per image."""
    return fn.sum(fn.square(features - target), WHOLE) / 2


@hand_designed(signature="features", source="Johnson et al. 2016")
def perceptual(features: Expr, target: Expr) -> Expr:
    """Feature reconstruction loss of one layer, ‖F - P‖²/(C·H·W), per image."""
    return fn.mean(fn.square(features - target), WHOLE)


@hand_designed(signature="features", source="Wang et al. 2018")
def feature_matching(features: Expr, target: Expr) -> Expr:
    """Feature matching loss of one layer of a discriminator: mean of |F - P| over channels and positions, per image."""
    return fn.mean(fn.abs(features - target), WHOLE)


@hand_designed(
    signature="features",
    source="Mechrez et al. 2018",
    parameters=[
        Parameter("bandwidth", 0.5, 0.1, 10.0, tunable=True, log=True, defined=POSITIVE),
        Parameter("eps", 1e-5, 1e-5, 1.0, defined=POSITIVE),
    ],
)
def contextual(features: Expr, target: Expr, bandwidth: Expr, eps: Expr) -> Expr:
    """Contextual loss of one layer, -log CX per image: features need not be aligned with the target's.

    With cosine distances d_ij of positions, each centred by the target's mean, d_ij/(min_k d_ik + ε) gives weights
    exp((1 - d)/h) that sum to one over the target's positions j; CX is the mean over j of the largest over i.
    `bandwidth` is h.
    """
    return -fn.log(pr.contextual_similarity(features, target, bandwidth, eps))
