"""Losses for times until an event, some of them censored: `log_risk[batch]`, `time[batch]`, `event[batch]`.

An event that was not seen by the end of the observation is censored: it is later than `time`. A time t is then told by
`event` 1 as an event, and by 0 as all that is known. `log_risk` r is the logarithm of a hazard, or of 1 / time.
"""

from __future__ import annotations

from collections.abc import Callable

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import NON_NEGATIVE, POSITIVE, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import hand_designed

SIGNATURE = "survival"

_ABSENT = -1e6
"""Far below every log-risk: what it is added to counts nothing in a log-sum-exp."""

_STEEP = 1e30
"""Times of 1e-6 and more that differ at all differ by more than 1 / `_STEEP`, even in float64."""


@hand_designed(signature=SIGNATURE, source="Cox 1972")
def cox(log_risk: Expr, time: Expr, event: Expr) -> tuple[Expr, Expr]:
    """Cox's partial likelihood, -log of e^r over its sum among those still observed at the time of an event.

    The mean is over events; ties as Breslow (1974) treats them. Times enter by their order alone.
    """
    at_risk = fn.rename(log_risk, "batch", "batch'") + _ABSENT * _before(fn.rename(time, "batch", "batch'"), time)
    return fn.logsumexp(at_risk, "batch'") - log_risk, event


def _before(time: Expr, other: Expr) -> Expr:
    """1 where a time is before another, else 0; nan where either is, which a comparison would hide."""
    return fn.clamp(_STEEP * (other - time), lower=0.0, upper=1.0)


@hand_designed(
    signature=SIGNATURE,
    source="Weibull 1951",
    parameters=[Parameter("shape", 1.0, 0.05, 20.0, tunable=True, log=True, search=(0.3, 3.0), defined=POSITIVE)],
)
def weibull(log_risk: Expr, time: Expr, event: Expr, shape: Expr) -> Expr:
    """Weibull likelihood e^z - event·(z + log k), z = k·(r + log t), without its constant; exponential for k = 1."""
    z = shape * (log_risk + fn.log(time))
    return fn.exp(z) - event * (z + fn.log(shape))


@hand_designed(
    signature=SIGNATURE,
    source="Bennett 1983",
    parameters=[Parameter("scale", 1.0, 0.05, 20.0, tunable=True, log=True, search=(0.2, 5.0), defined=POSITIVE)],
)
def log_logistic(log_risk: Expr, time: Expr, event: Expr, scale: Expr) -> Expr:
    """Log-logistic likelihood (1 + event)·softplus(z) - event·(z - log σ), z = (r + log t)/σ, without its constant.

    Its gradient is bounded, so that times which are far too long pull little.
    """
    z = (log_risk + fn.log(time)) / scale
    return (1 + event) * fn.softplus(z) - event * (z - fn.log(scale))


def _pairs(log_risk: Expr, time: Expr, event: Expr, cost: Callable[[Expr], Expr]) -> tuple[Expr, Expr]:
    """Mean cost of r_i - r_j over pairs of which i had the event before j was last seen."""
    ahead = log_risk - fn.rename(log_risk, "batch", "batch'")
    comparable = event * _before(time, fn.rename(time, "batch", "batch'"))
    count = fn.sum(comparable, "batch'")
    return fn.contract(comparable, cost(ahead), "batch'") / fn.clamp(count, lower=1.0), count


@hand_designed(signature=SIGNATURE, source="Steck et al. 2008")
def survival_ranking(log_risk: Expr, time: Expr, event: Expr) -> tuple[Expr, Expr]:
    """Logistic bound of the concordance index: mean of softplus(r_j - r_i) over pairs of which i came first."""
    return _pairs(log_risk, time, event, lambda ahead: fn.softplus(-ahead))


@hand_designed(
    signature=SIGNATURE,
    source="Van Belle et al. 2011",
    parameters=[Parameter("margin", 1.0, 0.0, 100.0, tunable=True, search=(0.1, 4.0), defined=NON_NEGATIVE)],
)
def survival_hinge(log_risk: Expr, time: Expr, event: Expr, margin: Expr) -> tuple[Expr, Expr]:
    """Hinge bound of the concordance index: mean of max(m - (r_i - r_j), 0) over pairs of which i came first."""
    return _pairs(log_risk, time, event, lambda ahead: fn.relu(margin - ahead))


@hand_designed(signature=SIGNATURE, source="Shivaswamy et al. 2007")
def censored_mae(log_risk: Expr, time: Expr, event: Expr) -> Expr:
    """Absolute error of the logarithm of time, predicted as -r; of censored ones only if predicted earlier."""
    early = fn.log(time) + log_risk
    return event * fn.abs(early) + (1 - event) * fn.relu(early)


@hand_designed(signature=SIGNATURE, source="Shivaswamy et al. 2007")
def censored_mse(log_risk: Expr, time: Expr, event: Expr) -> Expr:
    """Squared error of the logarithm of time, predicted as -r; of censored ones only if predicted earlier."""
    early = fn.log(time) + log_risk
    return event * fn.square(early) + (1 - event) * fn.square(fn.relu(early))
