"""Losses of the dense family for long tails: they know how many training elements each class has, `class_count[class]`.

`to_module(buffers={"class_count": counts})` takes the counts, a floating tensor: of samples, or of pixels.
"""

from __future__ import annotations

import lossearch.primitives as pr
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.interval import UNIT
from lossearch.ir.core.parameter import NON_NEGATIVE, POSITIVE, REAL, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import hand_designed

SIGNATURE = "dense"


@hand_designed(
    signature=SIGNATURE,
    source="Menon et al. 2021",
    parameters=[Parameter("tau", 1.0, 0.0, 10.0, tunable=True, search=(0.0, 3.0), defined=REAL)],
)
def logit_adjustment(logits: Expr, target: Expr, class_count: Expr, tau: Expr) -> Expr:
    """Cross-entropy of x + τ·log π with the classes' frequencies π: rare classes get the larger margin.

    τ = 1 is the balanced softmax of Ren et al. 2020. Predictions are those of x itself.
    """
    prior = fn.log(class_count) - fn.log(fn.sum(class_count, "class"))
    return pr.cross_entropy(logits + tau * prior, target)


@hand_designed(
    signature=SIGNATURE,
    source="Cao et al. 2019",
    parameters=[
        Parameter("margin", 0.5, 0.0, 10.0, tunable=True, search=(0.0, 2.0), defined=NON_NEGATIVE),
        Parameter("scale", 1.0, 0.1, 100.0, tunable=True, log=True, search=(0.5, 50.0), defined=POSITIVE),
    ],
)
def ldam(logits: Expr, target: Expr, class_count: Expr, margin: Expr, scale: Expr) -> Expr:
    """LDAM: cross-entropy of s·(x - Δ_y) for the true class and s·x for the others, Δ_c = m·(n_min/n_c)^¼.

    `margin` m is that of the rarest class. The paper's scores are cosines, which its code multiplies by `scale` s = 30.
    """
    rarity = (fn.min(class_count, "class") / class_count) ** 0.25
    return pr.cross_entropy(scale * (logits - margin * rarity * target), target)


@hand_designed(
    signature=SIGNATURE,
    source="Cui et al. 2019",
    parameters=[Parameter("beta", 0.9999, 0.0, 0.999999, tunable=True, search=(0.9, 0.99999), defined=(0.0, 0.999999))],
)
def class_balanced_cross_entropy(logits: Expr, target: Expr, class_count: Expr, beta: Expr) -> Expr:
    """Cross-entropy times its class's weight (1 - β)/(1 - β^n), over the mean weight of the classes.

    Weights are equal at β = 0 and inverse frequencies as β → 1. The mean divides by the number of elements.
    """
    # 1 - β^n = -expm1(n log β), exact for β near one.
    weight = 1 / -fn.expm1(class_count * fn.log(beta))
    share = weight / fn.mean(weight, "class")
    return -fn.contract(target, share * fn.log_softmax(logits, "class"), "class")


@hand_designed(
    signature=SIGNATURE,
    source="Wang et al. 2021",
    parameters=[
        Parameter("p", 0.8, 0.0, 5.0, tunable=True, search=(0.0, 2.0), defined=NON_NEGATIVE),
        Parameter("q", 2.0, 0.0, 5.0, tunable=True, search=(0.0, 4.0), defined=NON_NEGATIVE),
    ],
)
def seesaw(logits: Expr, target: Expr, class_count: Expr, p: Expr, q: Expr) -> Expr:
    """Seesaw loss: cross-entropy of x_j + log M_j + log C_j for wrong classes j, from fewer and from mistaken ones.

    M_j = min(n_j/n_y, 1)^p spares classes rarer than the true one, C_j = max(σ_j/σ_y, 1)^q, without gradient, punishes
    those that are more probable, σ the softmax. The paper counts n while it trains.
    """
    size, log_p = fn.log(class_count), fn.stop_gradient(fn.log_softmax(logits, "class"))
    rarer = fn.minimum(size - fn.contract(target, size, "class"), 0.0)
    likelier = fn.maximum(log_p - fn.contract(target, log_p, "class"), 0.0)
    return pr.cross_entropy(logits + (1 - target) * (p * rarer + q * likelier), target)


_THRESHOLD = Parameter("threshold", 1.76e-3, 1e-6, 1.0, tunable=True, log=True, search=(1e-3, 0.5), defined=UNIT)
"""Share of all training elements below which a class is rare."""


def _is_rare(class_count: Expr, threshold: Expr) -> Expr:
    """One for a rare class, else zero."""
    share = class_count / fn.sum(class_count, "class")
    return fn.where(fn.less(share, threshold), 1.0, 0.0)


@hand_designed(
    signature=SIGNATURE,
    source="Tan et al. 2020",
    parameters=[
        Parameter("gamma", 0.9, 0.0, 0.9999, tunable=True, search=(0.0, 0.99), defined=(0.0, 0.9999)),
        _THRESHOLD,
    ],
)
def equalization(logits: Expr, target: Expr, class_count: Expr, gamma: Expr, threshold: Expr) -> Expr:
    """Softmax equalisation loss: cross-entropy in whose softmax rare wrong classes weigh 1 - γ, which spares them.

    A class is rare if its share of `class_count` is below `threshold`. The paper leaves such classes out at random,
    with probability γ; here each has its expected weight.
    """
    spared = (1 - target) * _is_rare(class_count, threshold)
    return pr.cross_entropy(logits + fn.log1p(-(gamma * spared)), target)


@hand_designed(signature=SIGNATURE, source="Tan et al. 2020", parameters=[_THRESHOLD])
def binary_equalization(logits: Expr, target: Expr, class_count: Expr, threshold: Expr) -> Expr:
    """Equalisation loss of each class: binary cross-entropy without what rare classes cost where they are absent.

    A class is rare if its share of `class_count` is below `threshold`. As the paper does for foreground proposals;
    elements of the background, for which rare classes count, are not told apart.
    """
    common = 1 - _is_rare(class_count, threshold)
    return target * fn.softplus(-logits) + (1 - target) * (common * fn.softplus(logits))
