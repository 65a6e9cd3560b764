"""Combinations of several losses: `losses[component]` to one number. `lossearch.combine` makes modules of them."""

from __future__ import annotations

from lossearch.ir import functions as fn
from lossearch.ir.expr import Expr
from lossearch.zoo.registry import hand_designed


@hand_designed(signature="weighted_components", source="Caruana 1997")
def weighted_sum(losses: Expr, weights: Expr) -> Expr:
    """Weighted sum Σ_i w_i L_i of component losses, with fixed weights."""
    return fn.contract(weights, losses, "component")


@hand_designed(signature="uncertain_components", source="Kendall et al. 2018")
def uncertainty_weighting(losses: Expr, log_variance: Expr, factor: Expr) -> Expr:
    """Uncertainty weighting Σ_i f_i L_i e^(-s_i) + s_i/2 with learned log-variances s_i = log σ_i².

    The factor f is ½ for a squared error, L/(2σ²) + log σ, and 1 for a cross-entropy, L/σ² + log σ.
    """
    weights = factor * fn.exp(-log_variance)
    return fn.contract(weights, losses, "component") + fn.sum(log_variance, "component") / 2
