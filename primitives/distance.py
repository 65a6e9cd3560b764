"""Distances: between a predicted distribution and the target, and penalties of residuals."""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.primitive import primitive
from lossearch.ir.operators import functions as fn

FAMILY = "distance"


@primitive(family=FAMILY)
def squared_probability_error(logits: Expr, target: Expr) -> Expr:
    """Squared error Σ_c (p_c - t_c)² of logits[batch, class, *space]: [batch, *space] in [0, 2]. Brier 1950."""
    return fn.sum(fn.square(fn.softmax(logits, "class") - target), "class")


@primitive(family=FAMILY)
def absolute_probability_error(logits: Expr, target: Expr) -> Expr:
    """Absolute error Σ_c |p_c - t_c| of logits[batch, class, *space]: [batch, *space] in [0, 2].

    2(1 - p_y) for a one-hot target. Ghosh et al. 2017.
    """
    return fn.sum(fn.abs(fn.softmax(logits, "class") - target), "class")


@primitive(family=FAMILY)
def huber_penalty(residual: Expr, delta: Expr) -> Expr:
    """r²/2 where |r| ≤ δ, else δ(|r| - δ/2); elementwise, ≥ 0; δ > 0. Huber 1964."""
    # With m = min(|r|, δ) both branches are m(|r| - m/2).
    size = fn.abs(residual)
    inner = fn.minimum(size, delta)
    return inner * (size - inner / 2)


@primitive(family=FAMILY)
def pinball_penalty(residual: Expr, quantile: Expr) -> Expr:
    """max(q·r, (q - 1)·r): a residual r = y - ŷ above weighs q, one below 1 - q; Koenker and Bassett 1978."""
    return fn.maximum(quantile * residual, (quantile - 1) * residual)


@primitive(family=FAMILY)
def quadratic_form(vector: Expr, matrix: Expr) -> Expr:
    """xᵀ M x of vector[batch, feature] and a positive definite matrix[feature, feature']: [batch], ≥ 0."""
    product = fn.contract(vector, matrix, "feature")
    # ≥ 0 always; relu says so to the types.
    return fn.relu(fn.contract(product, fn.rename(vector, "feature", "feature'"), "feature'"))
