"""Cross-entropy and its relatives over class scores.

Throughout, `logits[batch, class, *space]` are unbounded scores and `target[batch, class, *space]` is a distribution
over classes. A loss of an integer label y extends to a soft target t as its expectation Σ_y t_y · loss(y); with
one-hot targets that is the published form. So -⟨t, log p⟩ is the expected log-loss, and is in general not
-log⟨t, p⟩: the two agree for one-hot targets only.
"""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.primitive import primitive
from lossearch.ir.operators import functions as fn

FAMILY = "cross_entropy"


@primitive(family=FAMILY)
def true_class_probability(logits: Expr, target: Expr) -> Expr:
    """Probability of the true class, ⟨t, softmax(x)⟩: [batch, *space] in [0, 1].

    For a soft target it is the probability that a label drawn from the target and one drawn from the prediction agree.
    """
    return fn.contract(target, fn.softmax(logits, "class"), "class")


@primitive(family=FAMILY)
def true_class_log_probability(logits: Expr, target: Expr) -> Expr:
    """Log-probability of the true class, ⟨t, log softmax(x)⟩: [batch, *space], ≤ 0; its mean for a soft target."""
    return fn.contract(target, fn.log_softmax(logits, "class"), "class")


@primitive(family=FAMILY, class_weights="likelihood")
def cross_entropy(logits: Expr, target: Expr) -> Expr:
    """Negative log-likelihood -⟨t, log softmax(x)⟩: [batch, *space], ≥ 0. Good 1952."""
    return -fn.contract(target, fn.log_softmax(logits, "class"), "class")


@primitive(family=FAMILY)
def uniform_cross_entropy(logits: Expr) -> Expr:
    """Cross-entropy to the uniform distribution: [batch, *space], ≥ 0. Szegedy et al. 2016."""
    return -fn.mean(fn.log_softmax(logits, "class"), "class")


@primitive(family=FAMILY, class_weights="smoothed likelihood")
def label_smoothed_cross_entropy(logits: Expr, target: Expr, smoothing: Expr) -> Expr:
    """Cross-entropy to (1 - s)·t + s/C: [batch, *space], ≥ 0; smoothing s in [0, 1]. Szegedy et al. 2016."""
    log_p = fn.log_softmax(logits, "class")
    return -((1 - smoothing) * fn.contract(target, log_p, "class") + smoothing * fn.mean(log_p, "class"))


@primitive(family=FAMILY)
def class_weighted_cross_entropy(logits: Expr, target: Expr, class_weight: Expr) -> Expr:
    """Weighted mean Σ_c w_c t_c (-log p_c) / Σ_c w_c t_c: [batch, *space], ≥ 0; class_weight[class] ≥ 0.

    To be weighted by Σ_c w_c t_c afterwards. King and Zeng 2001.
    """
    weighted = fn.contract(target, class_weight * -fn.log_softmax(logits, "class"), "class")
    return weighted / fn.contract(target, class_weight, "class")


@primitive(family=FAMILY)
def generalized_cross_entropy(logits: Expr, target: Expr, q: Expr) -> Expr:
    """Box-Cox loss Σ_c t_c (1 - p_c^q)/q: [batch, *space] in [0, 1/q]; q > 0.

    Cross-entropy as q → 0, half the absolute error at q = 1. Zhang and Sabuncu 2018.
    """
    # 1 - p^q = -expm1(q log p): exact for p near one, and no pole at p = 0.
    return -fn.contract(target, fn.expm1(q * fn.log_softmax(logits, "class")), "class") / q


@primitive(family=FAMILY)
def reverse_cross_entropy(logits: Expr, target: Expr, log_zero: Expr) -> Expr:
    """Cross-entropy with the roles exchanged, -Σ_c p_c max(log t_c, A): [batch, *space].

    log_zero A < 0 stands for log 0; a one-hot target gives -A(1 - p_y). Wang et al. 2019.
    """
    return -fn.sum(fn.softmax(logits, "class") * fn.maximum(fn.log(target), log_zero), "class")


@primitive(family=FAMILY)
def entropy(logits: Expr) -> Expr:
    """Entropy of the prediction, -Σ_c p_c log p_c: [batch, *space] in [0, log C]. Shannon 1948."""
    return -fn.sum(fn.softmax(logits, "class") * fn.log_softmax(logits, "class"), "class")


@primitive(family=FAMILY)
def confidence(logits: Expr) -> Expr:
    """Largest class probability: [batch, *space] in [1/C, 1], typed as [0, 1]. Hendrycks and Gimpel 2017."""
    return fn.max(fn.softmax(logits, "class"), "class")


@primitive(family=FAMILY)
def runner_up_probability(logits: Expr, target: Expr) -> Expr:
    """Largest probability of a wrong class, max_c p_c (1 - t_c): [batch, *space] in [0, 1]."""
    return fn.max(fn.softmax(logits, "class") * (1 - target), "class")


@primitive(family=FAMILY)
def probability_margin(logits: Expr, target: Expr) -> Expr:
    """True-class probability minus the largest of a wrong class: [batch, *space] in [-1, 1]. Schapire et al. 1998."""
    return true_class_probability(logits, target) - runner_up_probability(logits, target)
