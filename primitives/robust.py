"""Terms of losses that are robust to wrong labels: `logits[batch, class, *space]` and `target` of the same axes."""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.primitive import primitive
from lossearch.ir.operators import functions as fn

FAMILY = "robust"


@primitive(family=FAMILY)
def normalized_cross_entropy(logits: Expr, target: Expr) -> Expr:
    """Share of the target in the cross-entropies of all classes, ⟨t, log p⟩/Σ_k log p_k: [batch, *space] in [0, 1].

    Ma et al. 2020.
    """
    log_p = fn.log_softmax(logits, "class")
    return fn.fraction(-fn.contract(target, log_p, "class"), -fn.sum(log_p, "class"))


@primitive(family=FAMILY)
def normalized_negative_cross_entropy(logits: Expr, target: Expr, log_zero: Expr) -> Expr:
    """1 - ⟨t, v⟩/Σ_k v_k with v_k = max(log p_k, A) - A: [batch, *space] in [0, 1]; log_zero A < 0 is the least log p.

    Ye et al. 2023.
    """
    above = fn.relu(fn.log_softmax(logits, "class") - log_zero)
    return 1 - fn.fraction(fn.contract(target, above, "class"), fn.sum(above, "class"))


@primitive(family=FAMILY)
def asymmetric_generalized_term(probability: Expr, a: Expr, q: Expr) -> Expr:
    """((a + 1)^q - (a + p)^q)/q: elementwise, ≥ 0; probability in [0, 1], a ≥ 0, q > 0. Zhou et al. 2021 (AGCE)."""
    return ((a + 1) ** q - (a + probability) ** q) / q


@primitive(family=FAMILY)
def asymmetric_squared_error(logits: Expr, target: Expr, a: Expr) -> Expr:
    """Mean over classes of (p_k - a·t_k)²: [batch, *space], ≥ 0; a ≥ 1. Wang et al. 2025 (AMSE)."""
    return fn.mean(fn.square(fn.softmax(logits, "class") - a * target), "class")


@primitive(family=FAMILY)
def epsilon_softmax_cross_entropy(logits: Expr, target: Expr, m: Expr) -> Expr:
    """-⟨t, log p'⟩ with p' = (p + m·e)/(m + 1), e one-hot at the largest p: [batch, *space], ≥ 0; m ≥ 0.

    Classes that share the largest p share e. Wang et al. 2024.
    """
    highest = fn.where(fn.less(logits, fn.max(logits, "class")), 0.0, 1.0)
    raised = fn.log(fn.softmax(logits, "class") + m * (highest / fn.clamp(fn.sum(highest, "class"), lower=1.0)))
    log_p = fn.where(fn.greater(highest, 0.5), raised, fn.log_softmax(logits, "class"))
    return fn.log1p(m) - fn.contract(target, log_p, "class")


@primitive(family=FAMILY)
def clipped_logits(logits: Expr, bound: Expr) -> Expr:
    """Logits of a norm of at most the bound, z·min(1, δ/‖z‖): [batch, class, *space]; bound δ > 0. Wei et al. 2023."""
    return logits / fn.maximum(fn.norm(logits, "class") / bound, 1.0)


@primitive(family=FAMILY)
def jensen_shannon(logits: Expr, target: Expr, share: Expr) -> Expr:
    """π·KL(t ‖ m) + (1 - π)·KL(p ‖ m) with m = π·t + (1 - π)·p: [batch, *space]; share π of the target in (0, 1).

    Lin 1991.
    """
    p, log_p = fn.softmax(logits, "class"), fn.log_softmax(logits, "class")
    rest = 1 - share
    log_m = fn.log(share * target + rest * p)
    from_target = fn.contract(target, fn.log(target) - log_m, "class")
    return share * from_target + rest * fn.contract(p, log_p - log_m, "class")
