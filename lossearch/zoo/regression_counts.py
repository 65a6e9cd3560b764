"""Losses for counts and amounts, whose mean e^η is predicted by its logarithm: `log_mean[batch, *space]`."""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import POSITIVE, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import hand_designed

SIGNATURE = "regression_counts"


@hand_designed(signature=SIGNATURE, source="Cameron and Trivedi 1998")
def poisson(log_mean: Expr, target: Expr) -> Expr:
    """Poisson negative log-likelihood e^η - y·η without its constant, as `torch.nn.functional.poisson_nll_loss`."""
    return fn.exp(log_mean) - target * log_mean


@hand_designed(
    signature=SIGNATURE,
    source="Jørgensen 1987",
    parameters=[Parameter("power", 1.5, 1.01, 1.99, tunable=True, defined=(1.001, 1.999))],
)
def tweedie(log_mean: Expr, target: Expr, power: Expr) -> Expr:
    """Tweedie loss e^((2 - p)η)/(2 - p) - y·e^((1 - p)η)/(1 - p), half the deviance without its constant.

    For amounts that are often zero and else spread widely, such as claims and rainfall: p → 1 is `poisson`, p → 2 a
    gamma distribution. e^η is the mean.
    """
    size, excess = 2 - power, power - 1
    return fn.exp(size * log_mean) / size + target * fn.exp(-(excess * log_mean)) / excess


@hand_designed(
    signature=SIGNATURE,
    source="Lawless 1987",
    parameters=[Parameter("alpha", 1.0, 1e-3, 1e2, tunable=True, log=True, search=(0.05, 20.0), defined=POSITIVE)],
    limits={("alpha", 0.0): poisson},
)
def negative_binomial(log_mean: Expr, target: Expr, alpha: Expr) -> Expr:
    """Negative binomial loss (y + 1/α)·log(1 + α·e^η) - y·η, the likelihood without its constant; `poisson` for α = 0.

    For counts that spread more than Poisson's: their variance is e^η + α·e^(2η). Large counts pull less.
    """
    return (target + 1 / alpha) * fn.softplus(log_mean + fn.log(alpha)) - target * log_mean


@hand_designed(signature=SIGNATURE, source="McCullagh and Nelder 1989")
def gamma(log_mean: Expr, target: Expr) -> Expr:
    """Gamma loss η + y·e^-η, half the deviance without its constant: what counts are errors relative to the mean."""
    return log_mean + target * fn.exp(-log_mean)


@hand_designed(signature=SIGNATURE, source="Bartlett 1947")
def squared_log(log_mean: Expr, target: Expr) -> Expr:
    """Squared error of logarithms (η - log(1 + y))²: large counts pull little, and e^η falls below the mean."""
    return fn.square(log_mean - fn.log1p(target))


@hand_designed(signature=SIGNATURE, source="Laplace 1774")
def count_mae(log_mean: Expr, target: Expr) -> Expr:
    """Absolute error |e^η - y| of the count: least at the median, which lies below the mean of most counts."""
    return fn.abs(fn.exp(log_mean) - target)
