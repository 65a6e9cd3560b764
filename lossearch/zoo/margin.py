"""Losses for margin heads: `cosine[batch, class]` to the class centres and integer or one-hot `target`."""

from __future__ import annotations

import math

import lossearch.primitives as pr
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import NON_NEGATIVE, POSITIVE, Parameter
from lossearch.zoo.registry import hand_designed


@hand_designed(
    signature="margin",
    source="Deng et al. 2019",
    parameters=[
        Parameter("margin", 0.5, 0.0, 1.5, tunable=True, search=(0.0, 1.0), defined=(0.0, math.pi)),
        Parameter("scale", 64.0, 1.0, 256.0, tunable=True, log=True, search=(4.0, 128.0), defined=POSITIVE),
    ],
)
def arcface(cosine: Expr, target: Expr, margin: Expr, scale: Expr) -> Expr:
    """ArcFace: cross-entropy of s·cos θ with the true class's θ enlarged by the margin m (radians).

    Beyond θ = π - m the true class's cosine goes on as cos θ - m·sin m, as in the authors' code, so that the loss
    never falls while the angle grows.
    """
    return pr.cross_entropy(scale * pr.additive_angular_margin(cosine, target, margin), target)


@hand_designed(
    signature="margin",
    source="Wang et al. 2017",
    parameters=[Parameter("scale", 64.0, 1.0, 256.0, tunable=True, log=True, search=(4.0, 128.0), defined=POSITIVE)],
)
def normalized_softmax(cosine: Expr, target: Expr, scale: Expr) -> Expr:
    """Cross-entropy of s·cos θ, without a margin (NormFace)."""
    return pr.cross_entropy(scale * cosine, target)


@hand_designed(
    signature="margin",
    source="Wang et al. 2018",
    parameters=[
        Parameter("margin", 0.35, 0.0, 1.0, tunable=True, defined=NON_NEGATIVE),
        Parameter("scale", 64.0, 1.0, 256.0, tunable=True, log=True, search=(4.0, 128.0), defined=POSITIVE),
    ],
)
def cosface(cosine: Expr, target: Expr, margin: Expr, scale: Expr) -> Expr:
    """CosFace: cross-entropy of s·(cos θ - m) for the true class and s·cos θ for the others."""
    return pr.cross_entropy(scale * pr.additive_cosine_margin(cosine, target, margin), target)
