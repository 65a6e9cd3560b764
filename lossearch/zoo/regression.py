"""Losses for numbers of any shape: `prediction[batch, *space]` and `target` of the same axes."""

from __future__ import annotations

import math

import lossearch.primitives as pr
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.interval import UNIT
from lossearch.ir.core.parameter import NON_NEGATIVE, POSITIVE, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import choose, hand_designed

SIGNATURE = "regression"


@hand_designed(signature=SIGNATURE, source="Gauss 1809")
def mse(prediction: Expr, target: Expr) -> Expr:
    """Squared error (ŷ - y)², as `torch.nn.functional.mse_loss`."""
    return fn.square(prediction - target)


@hand_designed(signature=SIGNATURE, source="Laplace 1774")
def mae(prediction: Expr, target: Expr) -> Expr:
    """Absolute error |ŷ - y|, as `torch.nn.functional.l1_loss`."""
    return fn.abs(prediction - target)


@hand_designed(
    signature=SIGNATURE,
    source="Huber 1964",
    parameters=[Parameter("delta", 1.0, 1e-3, 1e3, tunable=True, log=True, defined=NON_NEGATIVE)],
)
def huber(prediction: Expr, target: Expr, delta: Expr) -> Expr:
    """Huber loss: r²/2 where |r| ≤ δ, else δ(|r| - δ/2), as `torch.nn.functional.huber_loss`."""
    return pr.huber_penalty(prediction - target, delta)


@hand_designed(
    signature=SIGNATURE,
    source="Girshick 2015",
    parameters=[Parameter("beta", 1.0, 1e-3, 1e3, tunable=True, log=True, defined=POSITIVE)],
    limits={("beta", 0.0): mae},
)
def smooth_l1(prediction: Expr, target: Expr, beta: Expr) -> Expr:
    """Smooth L1: r²/(2β) where |r| ≤ β, else |r| - β/2, as `torch.nn.functional.smooth_l1_loss`; |r| for β = 0."""
    return pr.huber_penalty(prediction - target, beta) / beta


@hand_designed(signature=SIGNATURE, source="Saleh and Saleh 2022")
def log_cosh(prediction: Expr, target: Expr) -> Expr:
    """log cosh(ŷ - y): r²/2 near zero, |r| - log 2 far from it."""
    # Beyond 20, where exponentials would overflow, log cosh r grows like |r|.
    residual = prediction - target
    near = fn.clamp(residual, -20.0, 20.0)
    return fn.log1p(fn.coshm1(near)) + fn.abs(residual - near)


@hand_designed(
    signature=SIGNATURE,
    source="Koenker and Bassett 1978",
    parameters=[Parameter("quantile", 0.5, 0.001, 0.999, defined=UNIT)],
    variants={("quantile", "quantile"): "regression_quantiles"},
)
def pinball(prediction: Expr, target: Expr, quantile: Expr) -> Expr:
    """Quantile loss max(q·(y - ŷ), (q - 1)·(y - ŷ)): least at the q-th quantile of y.

    Several quantiles, `quantile=(0.1, 0.5, 0.9)`, are those of `prediction[batch, quantile, *space]`, each against the
    same `target[batch, *space]`; the mean is over them too.
    """
    return pr.pinball_penalty(target - prediction, quantile)


@hand_designed(
    signature="regression_variance",
    source="Nix and Weigend 1994",
    parameters=[Parameter("eps", 1e-6, 1e-9, 1.0, defined=POSITIVE)],
)
def gaussian_nll(prediction: Expr, target: Expr, variance: Expr, eps: Expr, *, full: bool = False) -> Expr:
    """Gaussian negative log-likelihood (log v + (ŷ - y)²/v)/2 with v = max(variance, ε).

    As `torch.nn.functional.gaussian_nll_loss`, but the variance gets no gradient below ε. `full=True` adds
    log(2π)/2.
    """
    held = fn.maximum(variance, eps)
    loss = (fn.log(held) + fn.square(prediction - target) / held) / 2
    return choose("full", full, {False: loss, True: loss + math.log(2 * math.pi) / 2})


@hand_designed(signature="regression_vector", source="Mahalanobis 1936")
def mahalanobis(prediction: Expr, target: Expr, precision: Expr, *, squared: bool = True) -> Expr:
    """Squared Mahalanobis distance (ŷ - y)ᵀ P (ŷ - y) with the precision matrix P; `squared=False` takes its root."""
    form = pr.quadratic_form(prediction - target, precision)
    return choose("squared", squared, {True: form, False: fn.sqrt(form)})


@hand_designed(
    signature=SIGNATURE,
    source="Feng et al. 2018",
    parameters=[
        Parameter("width", 10.0, 1e-2, 1e3, tunable=True, log=True, search=(0.1, 100.0), defined=POSITIVE),
        Parameter("epsilon", 2.0, 1e-3, 1e3, tunable=True, log=True, search=(0.05, 20.0), defined=POSITIVE),
    ],
)
def wing(prediction: Expr, target: Expr, width: Expr, epsilon: Expr) -> Expr:
    """Wing loss: w·log(1 + |r|/ε) where |r| < w, else |r| - w + w·log(1 + w/ε); small errors weigh more than in `mae`.

    For landmarks in pixels; w and ε are in the units of the target.
    """
    size = fn.abs(prediction - target)
    near = fn.minimum(size, width)
    return width * fn.log1p(near / epsilon) + (size - near)


_SCALE = Parameter("scale", 1.0, 1e-2, 1e3, tunable=True, log=True, search=(0.1, 10.0), defined=POSITIVE)
"""From which residuals on a robust loss takes less notice, in the units of the target."""


@hand_designed(signature=SIGNATURE, source="Black and Anandan 1996", parameters=[_SCALE])
def cauchy(prediction: Expr, target: Expr, scale: Expr) -> Expr:
    """Cauchy (Lorentzian) loss c²/2·log(1 + (r/c)²): the pull of an outlier falls as 1/|r|."""
    return fn.square(scale) / 2 * fn.log1p(fn.square((prediction - target) / scale))


@hand_designed(signature=SIGNATURE, source="Geman and McClure 1985", parameters=[_SCALE])
def geman_mcclure(prediction: Expr, target: Expr, scale: Expr) -> Expr:
    """Geman-McClure loss c²/2·(r/c)²/(1 + (r/c)²), bounded by c²/2: the pull of an outlier falls as 1/|r|³."""
    ratio = fn.square((prediction - target) / scale)
    return fn.square(scale) / 2 * (ratio / (1 + ratio))


@hand_designed(signature=SIGNATURE, source="Dennis and Welsch 1978", parameters=[_SCALE])
def welsch(prediction: Expr, target: Expr, scale: Expr) -> Expr:
    """Welsch (correntropy) loss c²/2·(1 - exp(-(r/c)²)), bounded by c²/2: a far outlier does not pull at all."""
    return -(fn.square(scale) / 2) * fn.expm1(-fn.square((prediction - target) / scale))


@hand_designed(signature=SIGNATURE, source="Beaton and Tukey 1974", parameters=[_SCALE])
def tukey_biweight(prediction: Expr, target: Expr, scale: Expr) -> Expr:
    """Tukey's biweight c²/6·(1 - (1 - (r/c)²)³), c²/6 where |r| > c: residuals beyond c do not pull at all.

    Begin with a scale beyond most residuals, or none pulls.
    """
    rest = fn.relu(1 - fn.square((prediction - target) / scale))
    return fn.square(scale) / 6 * (1 - rest * fn.square(rest))


@hand_designed(
    signature="regression_variance",
    source="Seitzer et al. 2022",
    parameters=[
        Parameter("beta", 0.5, 0.0, 1.0, tunable=True, defined=NON_NEGATIVE),
        Parameter("eps", 1e-6, 1e-9, 1.0, defined=POSITIVE),
    ],
)
def beta_nll(prediction: Expr, target: Expr, variance: Expr, beta: Expr, eps: Expr) -> Expr:
    """β-NLL: `gaussian_nll` times v^β without gradient, v = max(variance, ε); the squared error's gradient at β = 1.

    Large variances no longer silence the error of the mean.
    """
    held = fn.maximum(variance, eps)
    loss = (fn.log(held) + fn.square(prediction - target) / held) / 2
    return fn.stop_gradient(held**beta) * loss


@hand_designed(
    signature="regression_variance",
    source="Lange, Little and Taylor 1989",
    parameters=[
        Parameter("degrees", 5.0, 2.1, 100.0, tunable=True, log=True, search=(2.5, 50.0), defined=(2.001, 1e6)),
        Parameter("eps", 1e-6, 1e-9, 1.0, defined=POSITIVE),
    ],
)
def student_t_nll(prediction: Expr, target: Expr, variance: Expr, degrees: Expr, eps: Expr) -> Expr:
    """Negative log-likelihood of Student's t with ν degrees of freedom, (log v + (ν + 1)·log(1 + r²/((ν - 2)v)))/2.

    For errors with heavy tails; v = max(variance, ε) is the variance of the distribution, and ν → ∞ is `gaussian_nll`.
    """
    held = fn.maximum(variance, eps)
    ratio = fn.square(prediction - target) / ((degrees - 2) * held)
    return (fn.log(held) + (degrees + 1) * fn.log1p(ratio)) / 2


@hand_designed(
    signature="regression_variance",
    source="Laplace 1774",
    parameters=[Parameter("eps", 1e-6, 1e-9, 1.0, defined=POSITIVE)],
)
def laplace_nll(prediction: Expr, target: Expr, variance: Expr, eps: Expr) -> Expr:
    """Laplace negative log-likelihood log(v)/2 + √2·|r|/√v without its constant, v = max(variance, ε)."""
    held = fn.maximum(variance, eps)
    return fn.log(held) / 2 + math.sqrt(2.0) * fn.abs(prediction - target) / fn.sqrt(held)


@hand_designed(
    signature="regression_variance",
    source="Jordan, Krüger and Lerch 2019",
    parameters=[Parameter("eps", 1e-6, 1e-9, 1.0, defined=POSITIVE)],
)
def logistic_crps(prediction: Expr, target: Expr, variance: Expr, eps: Expr) -> Expr:
    """Continuous ranked probability score of a logistic distribution, s·(z + 2·log(1 + e^-z) - 1), z = (y - ŷ)/s.

    s = √(3v)/π has the variance v = max(variance, ε). In the units of the target: an outlier counts as in `mae`.
    """
    scale = math.sqrt(3.0) / math.pi * fn.sqrt(fn.maximum(variance, eps))
    z = (target - prediction) / scale
    return scale * (z + 2 * fn.softplus(-z) - 1)


@hand_designed(
    signature="regression_variance",
    source="Gneiting and Raftery 2007",
    parameters=[Parameter("eps", 1e-6, 1e-9, 1.0, defined=POSITIVE)],
)
def normal_crps(prediction: Expr, target: Expr, variance: Expr, eps: Expr) -> Expr:
    """Continuous ranked probability score of a normal distribution, σ·(z·(2Φ(z) - 1) + 2φ(z) - 1/√π), z = (y - ŷ)/σ.

    σ² = max(variance, ε); Φ and φ are the standard normal's distribution and density. In the units of the target: an
    outlier counts as in `mae`, where its likelihood, `gaussian_nll`, has its square.
    """
    deviation = fn.sqrt(fn.maximum(variance, eps))
    z = (target - prediction) / deviation
    # 2Φ(z) - 1 = erf(z/√2) and 2φ(z) = √(2/π)·exp(-z²/2).
    density = math.sqrt(2 / math.pi) * fn.exp(-(fn.square(z) / 2))
    return deviation * (z * fn.erf(z / math.sqrt(2.0)) + density - 1 / math.sqrt(math.pi))


@hand_designed(
    signature=SIGNATURE,
    source="Wang et al. 2019",
    parameters=[
        Parameter("omega", 14.0, 0.1, 1e3, tunable=True, log=True, search=(1.0, 100.0), defined=POSITIVE),
        Parameter("theta", 0.5, 0.01, 100.0, tunable=True, log=True, search=(0.1, 2.0), defined=POSITIVE),
        Parameter("epsilon", 1.0, 0.01, 100.0, tunable=True, log=True, search=(0.1, 5.0), defined=POSITIVE),
        Parameter("alpha", 2.1, 2.0, 4.0, tunable=True, defined=(2.0, 10.0)),
    ],
)
def adaptive_wing(prediction: Expr, target: Expr, omega: Expr, theta: Expr, epsilon: Expr, alpha: Expr) -> Expr:
    """Adaptive wing loss ω·log(1 + |r/ε|^(α - y)) where |r| < θ, beyond it the straight line that goes on smoothly.

    For heat maps, y in [0, 1]: near a landmark, y = 1, small errors weigh as in `wing`, and far from it, y = 0, as
    squared ones. Targets outside of [0, 1] count as its ends in the exponent. Without the paper's map, which gives
    the surroundings of landmarks 11 times the weight.
    """
    size = fn.abs(prediction - target)
    near = fn.minimum(size, theta)
    exponent = alpha - fn.clamp(target, 0.0, 1.0)
    at_bend = (theta / epsilon) ** exponent
    # The derivative of the curve at θ: ω·e·u/(θ·(1 + u)) with u = (θ/ε)^e.
    slope = omega * exponent * fn.fraction(at_bend, 1 + at_bend) / theta
    # u^e = u·u^(e - 1) is exactly zero at zero, where a guarded power is not.
    ratio = near / epsilon
    return omega * fn.log1p(ratio * ratio ** (exponent - 1)) + slope * (size - near)
