"""Losses of the dense family that are robust to wrong labels: normalised, asymmetric and bounded ones.

Settings are the authors' for CIFAR-10; they suit other data only when tuned.
"""

from __future__ import annotations

import math

import lossearch.primitives as pr
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import NON_NEGATIVE, POSITIVE, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.dense import cross_entropy
from lossearch.zoo.registry import hand_designed

SIGNATURE = "dense"
WIDE = (1e-3, 100.0)


def _weight(name: str, default: float) -> Parameter:
    """The weight of one of two terms."""
    return Parameter(name, default, *WIDE, tunable=True, log=True, search=(0.01, 20.0), defined=NON_NEGATIVE)


ALPHA = _weight("alpha", 1.0)
A = Parameter("a", 6.0, 0.01, 100.0, tunable=True, log=True, search=(0.5, 20.0), defined=NON_NEGATIVE)
Q = Parameter("q", 1.5, 0.1, 5.0, tunable=True, log=True, search=(0.3, 3.0), defined=POSITIVE)


@hand_designed(signature=SIGNATURE, source="Ma et al. 2020")
def normalized_cross_entropy(logits: Expr, target: Expr) -> Expr:
    """Normalised cross-entropy NCE = ⟨t, log p⟩/Σ_k log p_k, in [0, 1].

    Robust to symmetric noise, and slow to fit: it is meant to be added to another loss, as in `nce_rce`.
    """
    return pr.normalized_cross_entropy(logits, target)


@hand_designed(
    signature=SIGNATURE,
    source="Ma et al. 2020",
    parameters=[ALPHA, _weight("beta", 1.0), Parameter("log_zero", math.log(1e-4), -20.0, -0.1, defined=(-27.0, 0.0))],
)
def nce_rce(logits: Expr, target: Expr, alpha: Expr, beta: Expr, log_zero: Expr) -> Expr:
    """α·NCE + β·RCE: `normalized_cross_entropy` and reverse cross-entropy -Σ_c p_c max(log t_c, A), A = `log_zero`.

    A = log 1e-4 is that of the authors' code; for CIFAR-100 they have α = 10, β = 0.1.
    """
    reverse = pr.reverse_cross_entropy(logits, target, log_zero)
    return alpha * pr.normalized_cross_entropy(logits, target) + beta * reverse


@hand_designed(signature=SIGNATURE, source="Ma et al. 2020", parameters=[ALPHA, _weight("beta", 1.0)])
def nce_mae(logits: Expr, target: Expr, alpha: Expr, beta: Expr) -> Expr:
    """α·NCE + β·MAE: `normalized_cross_entropy` and `probability_mae` Σ_c |p_c - t_c|, 2(1 - p_y) for a label.

    The authors' code has half of this MAE.
    """
    error = pr.absolute_probability_error(logits, target)
    return alpha * pr.normalized_cross_entropy(logits, target) + beta * error


@hand_designed(signature=SIGNATURE, source="Zhou et al. 2021", parameters=[ALPHA, _weight("beta", 4.0), A, Q])
def nce_agce(logits: Expr, target: Expr, alpha: Expr, beta: Expr, a: Expr, q: Expr) -> Expr:
    """α·NCE + β·AGCE: `normalized_cross_entropy` and AGCE = ((a + 1)^q - (a + p_y)^q)/q, with p_y = Σ_c t_c p_c.

    AGCE is asymmetric (robust to more than half of wrong labels) where q ≥ 1 or a is large.
    """
    term = pr.asymmetric_generalized_term(pr.true_class_probability(logits, target), a, q)
    return alpha * pr.normalized_cross_entropy(logits, target) + beta * term


@hand_designed(
    signature=SIGNATURE,
    source="Ye et al. 2023",
    parameters=[
        _weight("alpha", 5.0),
        _weight("beta", 5.0),
        Parameter("log_zero", math.log(1e-7), -27.0, -1.0, defined=(-80.0, -0.1)),
    ],
)
def active_negative_cross_entropy(logits: Expr, target: Expr, alpha: Expr, beta: Expr, log_zero: Expr) -> Expr:
    """ANL-CE: α·NCE + β·NNCE, NNCE = 1 - ⟨t, v⟩/Σ_k v_k with v_k = max(log p_k, A) - A.

    `log_zero` A is the least log p. The paper adds an L1 penalty on the network's weights.
    """
    negative = pr.normalized_negative_cross_entropy(logits, target, log_zero)
    return alpha * pr.normalized_cross_entropy(logits, target) + beta * negative


@hand_designed(
    signature=SIGNATURE,
    source="Wang et al. 2024",
    parameters=[
        _weight("alpha", 0.01),
        _weight("beta", 5.0),
        Parameter("m", 1e5, 1e-2, 1e6, tunable=True, log=True, search=(1.0, 1e6), defined=(0.0, 1e12)),
    ],
)
def epsilon_softmax(logits: Expr, target: Expr, alpha: Expr, beta: Expr, m: Expr) -> Expr:
    """ε-softmax: α·CE(p') + β·MAE(p), p' = (p + m·e)/(m + 1) nearly one-hot at the largest p, MAE = Σ_c |p_c - t_c|.

    The authors' code holds p' at 1e-8 or more, below which it has no gradient.
    """
    sharpened = pr.epsilon_softmax_cross_entropy(logits, target, m)
    return alpha * sharpened + beta * pr.absolute_probability_error(logits, target)


@hand_designed(
    signature=SIGNATURE,
    source="Wang et al. 2025",
    parameters=[
        ALPHA,
        _weight("beta", 1.0),
        Parameter("a", 30.0, 1.0, 1e3, tunable=True, log=True, search=(1.0, 100.0), defined=NON_NEGATIVE),
    ],
)
def joint_asymmetric(logits: Expr, target: Expr, alpha: Expr, beta: Expr, a: Expr) -> Expr:
    """JAL-CE: α·NCE + β·AMSE, `normalized_cross_entropy` and AMSE = mean_k (p_k - a·t_k)²."""
    error = pr.asymmetric_squared_error(logits, target, a)
    return alpha * pr.normalized_cross_entropy(logits, target) + beta * error


@hand_designed(
    signature=SIGNATURE,
    source="Wei et al. 2023",
    parameters=[Parameter("delta", 1.0, 1e-2, 1e3, tunable=True, log=True, search=(0.1, 20.0), defined=POSITIVE)],
)
def logit_clipping(logits: Expr, target: Expr, delta: Expr) -> Expr:
    """Cross-entropy of logits whose norm is clipped, z·min(1, δ/‖z‖); bounded. The paper tunes δ for each data set."""
    return pr.cross_entropy(pr.clipped_logits(logits, delta), target)


@hand_designed(
    signature=SIGNATURE,
    source="Englesson and Azizpour 2021",
    parameters=[Parameter("share", 0.5, 0.01, 0.99, tunable=True, search=(0.1, 0.9), defined=(1e-3, 1.0 - 1e-3))],
    limits={("share", 0.0): cross_entropy},
)
def jensen_shannon(logits: Expr, target: Expr, share: Expr) -> Expr:
    """Jensen-Shannon divergence (π·KL(t ‖ m) + (1 - π)·KL(p ‖ m))/Z, m = π·t + (1 - π)·p, Z = -(1 - π) log(1 - π).

    `share` is π: cross-entropy as π → 0, half `probability_mae` as π → 1. The paper's GJS for one prediction; with
    several it also asks for agreement between augmented views.
    """
    rest = 1 - share
    return pr.jensen_shannon(logits, target, share) / -(rest * fn.log(rest))
