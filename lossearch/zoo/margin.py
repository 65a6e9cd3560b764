"""Losses for margin heads: `cosine[batch, class]` to the class centres and integer or one-hot `target`."""

from __future__ import annotations

import math

import lossearch.primitives as pr
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import NON_NEGATIVE, POSITIVE, REAL, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.embedding import ABSENT
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


@hand_designed(
    signature="margin",
    source="Liu et al. 2017",
    parameters=[
        Parameter("margin", 1.4, 1.0, 4.0, tunable=True, defined=(1.0, 16.0)),
        Parameter("scale", 64.0, 1.0, 256.0, tunable=True, log=True, search=(4.0, 128.0), defined=POSITIVE),
    ],
)
def sphereface(cosine: Expr, target: Expr, margin: Expr, scale: Expr) -> Expr:
    """SphereFace: cross-entropy of s·cos θ with the true class's angle times the margin, held at π.

    The monotone form for any real margin, with a scale, of SphereFace-R (Liu et al. 2022), whose default is 1.4; the
    first paper has whole margins up to 4 and the embedding's norm as the scale.
    """
    return pr.cross_entropy(scale * pr.multiplicative_angular_margin(cosine, target, margin), target)


@hand_designed(
    signature="margin",
    source="Huang et al. 2020",
    parameters=[
        Parameter("margin", 0.5, 0.0, 1.5, tunable=True, search=(0.0, 1.0), defined=(0.0, math.pi)),
        Parameter("scale", 64.0, 1.0, 256.0, tunable=True, log=True, search=(4.0, 128.0), defined=POSITIVE),
    ],
)
def curricularface(cosine: Expr, target: Expr, margin: Expr, scale: Expr) -> Expr:
    """CurricularFace: as ArcFace, with the cosine c of a wrong class above cos(θ + m) of the true one made c·(t + c).

    t, without gradient, is the batch's mean cosine of the true classes, so that hard classes count for more as training
    goes on; the authors' code has its running mean.
    """
    moved = pr.additive_angular_margin(cosine, target, margin)
    own = fn.contract(target, cosine, "class")
    progress = fn.stop_gradient(fn.mean(own, "batch"))
    hard = fn.greater(cosine, fn.contract(target, moved, "class"))
    wrong = fn.where(hard, cosine * (progress + cosine), cosine)
    return pr.cross_entropy(scale * (target * moved + (1 - target) * wrong), target)


@hand_designed(
    signature="margin",
    source="Kim et al. 2020",
    parameters=[
        Parameter("margin", 0.1, -1.0, 1.0, tunable=True, search=(0.0, 0.5), defined=REAL),
        Parameter("scale", 32.0, 1.0, 256.0, tunable=True, log=True, search=(4.0, 128.0), defined=POSITIVE),
    ],
)
def proxy_anchor(cosine: Expr, target: Expr, margin: Expr, scale: Expr) -> Expr:
    """Proxy-Anchor: log(1 + Σ_x e^(-α(s - δ))) over each centre's samples, log(1 + Σ_x e^(α(s + δ))) over all others.

    The first is averaged over the classes that are in the batch, the second over all classes: one number. `scale` is α
    and `margin` δ.
    """
    own = fn.greater(target, 0.5)
    near = fn.softplus(fn.logsumexp(fn.where(own, -(scale * (cosine - margin)), ABSENT), "batch"))
    far = fn.softplus(fn.logsumexp(fn.where(own, ABSENT, scale * (cosine + margin)), "batch"))
    present = fn.max(fn.where(own, 1.0, 0.0), "batch")
    attraction = fn.sum(near * present, "class") / fn.clamp(fn.sum(present, "class"), lower=1.0)
    return attraction + fn.mean(far, "class")
