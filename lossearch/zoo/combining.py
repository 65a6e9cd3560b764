"""Combinations of several losses: `losses[component]` to one number. `lossearch.combine` makes modules of them."""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import NON_NEGATIVE, POSITIVE, Parameter
from lossearch.ir.operators import functions as fn
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


@hand_designed(
    signature="averaged_components",
    source="Liu et al. 2019",
    parameters=[Parameter("temperature", 2.0, 1e-2, 1e3, tunable=True, log=True, search=(0.5, 8.0), defined=POSITIVE)],
)
def dynamic_weight_average(losses: Expr, last: Expr, before: Expr, temperature: Expr) -> Expr:
    """Σ_k λ_k L_k with λ_k = K · softmax_k(r_k / T): losses that fall slowly, r = last / before, weigh more."""
    shares = fn.softmax(last / before / temperature, "component")
    return fn.contract(shares / fn.mean(shares, "component"), losses, "component")  # the mean share is 1/K


@hand_designed(
    signature="weights_of_components",
    source="Chen et al. 2018",
    parameters=[Parameter("alpha", 1.5, 0.0, 3.0, tunable=True, defined=NON_NEGATIVE)],
)
def gradnorm(weights: Expr, norms: Expr, rates: Expr, alpha: Expr) -> Expr:
    """What GradNorm's weights minimise: Σ_i |w_i g_i - mean(w g) r_i^α|, in which the goal counts as constant.

    It asks for gradients of one size, larger where a component trains slowly (r_i > 1).
    """
    scaled = weights * norms
    goal = fn.stop_gradient(fn.mean(scaled, "component") * rates**alpha)
    return fn.sum(fn.abs(scaled - goal), "component")
