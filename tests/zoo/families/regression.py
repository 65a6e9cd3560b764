"""Regression: PyTorch's own losses, torchmetrics for log-cosh, SciPy for Mahalanobis, the formula for pinball."""

from __future__ import annotations

import math
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from scipy.integrate import quad
from scipy.spatial.distance import mahalanobis as scipy_mahalanobis
from scipy.stats import logistic, norm
from sklearn.metrics import mean_tweedie_deviance
from torch import Tensor
from torchmetrics.functional.regression import log_cosh_error

from ..harness import Case
from ..samples import Sample, Samples

SHAPES = {"table": (7,), "one element": (1,), "series": (3, 4), "map": (2, 3, 4), "volume": (2, 2, 3, 2)}


def mse(prediction: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(prediction, target, reduction="none")


def mae(prediction: Tensor, target: Tensor) -> Tensor:
    return F.l1_loss(prediction, target, reduction="none")


def huber(prediction: Tensor, target: Tensor, delta: float) -> Tensor:
    return F.huber_loss(prediction, target, reduction="none", delta=delta)


def smooth_l1(prediction: Tensor, target: Tensor, beta: float) -> Tensor:
    return F.smooth_l1_loss(prediction, target, reduction="none", beta=beta)


def log_cosh(prediction: Tensor, target: Tensor) -> Tensor:
    """One call per element, since the library averages."""
    pairs = zip(prediction.flatten(), target.flatten(), strict=True)
    return torch.stack([log_cosh_error(p[None], t[None]) for p, t in pairs]).reshape(prediction.shape)


def pinball(prediction: Tensor, target: Tensor, quantile: float) -> Tensor:
    """Equation 3.1 of Koenker and Bassett."""
    residual = target - prediction
    return torch.where(residual >= 0, quantile * residual, (quantile - 1) * residual)


def gaussian_nll(prediction: Tensor, target: Tensor, variance: Tensor, eps: float, full: bool = False) -> Tensor:
    return F.gaussian_nll_loss(prediction, target, variance, full=full, eps=eps, reduction="none")


def wing(prediction: Tensor, target: Tensor, width: float, epsilon: float) -> Tensor:
    """Equation 5 of Feng et al."""
    size = (prediction - target).abs()
    rest = width - width * math.log(1 + width / epsilon)
    return torch.where(size < width, width * torch.log(1 + size / epsilon), size - rest)


def adaptive_wing(
    prediction: Tensor, target: Tensor, omega: float, theta: float, epsilon: float, alpha: float
) -> Tensor:
    """Equation 3 of Wang et al., the exponent's target held in [0, 1]."""
    size, power = (prediction - target).abs(), alpha - target.clamp(0.0, 1.0)
    ratio = theta / epsilon
    a = omega / (1 + ratio**power) * power * ratio ** (power - 1) / epsilon
    c = theta * a - omega * torch.log(1 + ratio**power)
    return torch.where(size < theta, omega * torch.log(1 + (size / epsilon) ** power), a * size - c)


def cauchy(prediction: Tensor, target: Tensor, scale: float) -> Tensor:
    """Minus the logarithm of a Cauchy density, up to its constant and a factor."""
    density = torch.distributions.StudentT(1.0, target, scale)
    return scale**2 / 2 * (density.log_prob(target) - density.log_prob(prediction))


def geman_mcclure(prediction: Tensor, target: Tensor, scale: float) -> Tensor:
    """Table 1 of Black and Rangarajan 1996, with sigma = scale."""
    squared = (prediction - target) ** 2
    return scale**2 / 2 * squared / (scale**2 + squared)


def welsch(prediction: Tensor, target: Tensor, scale: float) -> Tensor:
    """α → -∞ of Barron 2019 with c = scale/√2."""
    return scale**2 / 2 * (1 - torch.exp(-0.5 * ((prediction - target) / (scale / math.sqrt(2))) ** 2))


def tukey_biweight(prediction: Tensor, target: Tensor, scale: float) -> Tensor:
    """Two pieces, expanded: r²/2 - r⁴/(2c²) + r⁶/(6c⁴) within the scale."""
    r = prediction - target
    inside = r**2 / 2 - r**4 / (2 * scale**2) + r**6 / (6 * scale**4)
    return torch.where(r.abs() <= scale, inside, torch.full_like(r, scale**2 / 6))


def beta_nll(prediction: Tensor, target: Tensor, variance: Tensor, beta: float, eps: float) -> Tensor:
    """Equation 5 of Seitzer et al. over PyTorch's likelihood."""
    weight = variance.detach().clamp(min=eps) ** beta
    return weight * gaussian_nll(prediction, target, variance, eps)


def student_t_nll(prediction: Tensor, target: Tensor, variance: Tensor, degrees: float, eps: float) -> Tensor:
    """PyTorch's likelihood at the scale that has this variance, without what no prediction changes."""
    scale = (variance.clamp(min=eps) * (degrees - 2) / degrees).sqrt()
    one = torch.ones_like(scale)
    likelihood = torch.distributions.StudentT(degrees, prediction, scale).log_prob(target)
    constant = torch.distributions.StudentT(degrees, 0.0, one).log_prob(0.0 * one)
    return constant - likelihood - math.log((degrees - 2) / degrees) / 2


def laplace_nll(prediction: Tensor, target: Tensor, variance: Tensor, eps: float) -> Tensor:
    scale = (variance.clamp(min=eps) / 2).sqrt()
    return -torch.distributions.Laplace(prediction, scale).log_prob(target) - math.log(math.sqrt(2.0))


def logistic_crps(prediction: Tensor, target: Tensor, variance: Tensor, eps: float) -> Tensor:
    """The closed form of Jordan et al. with the logarithm of the distribution, and the integral at one element."""
    scale = (3 * variance.clamp(min=eps)).sqrt() / math.pi
    z = (target - prediction) / scale
    value = scale * (z - 2 * F.logsigmoid(z) - 1)
    if value.numel():
        mean, deviation, true = (x.detach().flatten()[0].item() for x in (prediction, scale, target))
        known = logistic(mean, deviation)
        below = quad(lambda x: known.cdf(x) ** 2, -np.inf, true)[0]
        above = quad(lambda x: known.sf(x) ** 2, true, np.inf)[0]
        torch.testing.assert_close(value.detach().flatten()[0].item(), below + above, rtol=1e-6, atol=1e-9)
    return value


def normal_crps(prediction: Tensor, target: Tensor, variance: Tensor, eps: float) -> Tensor:
    """Equation 21 of Gneiting and Raftery with PyTorch's normal distribution, and the integral at one element."""
    deviation = variance.clamp(min=eps).sqrt()
    z, standard = (target - prediction) / deviation, torch.distributions.Normal(0.0, 1.0)
    density = standard.log_prob(z).exp()
    value = -deviation * (1 / math.sqrt(math.pi) - 2 * density - z * (2 * standard.cdf(z) - 1))
    if value.numel():
        mean, spread, true = (x.detach().flatten()[0].item() for x in (prediction, deviation, target))
        known = norm(mean, spread)
        below = quad(lambda x: known.cdf(x) ** 2, -np.inf, true)[0]
        above = quad(lambda x: known.sf(x) ** 2, true, np.inf)[0]
        torch.testing.assert_close(value.detach().flatten()[0].item(), below + above, rtol=1e-6, atol=1e-9)
    return value


def poisson(log_mean: Tensor, target: Tensor) -> Tensor:
    return F.poisson_nll_loss(log_mean, target, log_input=True, reduction="none")


def tweedie(log_mean: Tensor, target: Tensor, power: float) -> Tensor:
    """Half of scikit-learn's deviance up to what does not depend on the prediction, checked at one other mean."""
    mean = log_mean.exp()
    value = mean ** (2 - power) / (2 - power) - target * mean ** (1 - power) / (1 - power)
    if value.numel():
        given, predicted = target.flatten().numpy(), mean.detach().flatten().numpy()
        deviance = mean_tweedie_deviance(given, predicted, power=cast(Any, power))
        constant = (target ** (2 - power) / ((1 - power) * (2 - power))).mean()
        torch.testing.assert_close(value.mean().item() + constant.item(), deviance / 2, rtol=1e-9, atol=1e-12)
    return value


def negative_binomial(log_mean: Tensor, target: Tensor, alpha: float) -> Tensor:
    """PyTorch's likelihood of 1/α successes, without what does not depend on the prediction."""
    size = torch.tensor(1 / alpha, dtype=target.dtype)
    known = torch.distributions.NegativeBinomial(size, logits=log_mean + math.log(alpha), validate_args=False)
    constant = torch.lgamma(target + size) - torch.lgamma(size) - torch.lgamma(target + 1)
    return constant + target * math.log(alpha) - known.log_prob(target)


def gamma(log_mean: Tensor, target: Tensor) -> Tensor:
    """A gamma distribution of shape 1 is an exponential one."""
    return -torch.distributions.Exponential(torch.exp(-log_mean), validate_args=False).log_prob(target)


def squared_log(log_mean: Tensor, target: Tensor) -> Tensor:
    return F.mse_loss(log_mean, torch.log1p(target), reduction="none")


def count_mae(log_mean: Tensor, target: Tensor) -> Tensor:
    return F.l1_loss(log_mean.exp(), target, reduction="none")


def mahalanobis(prediction: Tensor, target: Tensor, precision: Tensor, squared: bool = True) -> Tensor:
    """SciPy's value; its gradient from the definition, which SciPy lacks."""
    difference = prediction - target
    distance = torch.einsum("bi,ij,bj->b", difference, precision, difference).clamp(min=0)
    pairs = zip(prediction.detach().numpy(), target.detach().numpy(), strict=True)
    expected = np.array([scipy_mahalanobis(p, t, precision.numpy()) for p, t in pairs]) ** 2
    torch.testing.assert_close(distance.detach(), torch.from_numpy(expected).double(), rtol=1e-9, atol=1e-12)
    return distance if squared else distance.sqrt()


def _numbers(*shape: int, seed: int) -> Tensor:
    return 2.0 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def numbers() -> list[Sample]:
    pairs = {name: (_numbers(*shape, seed=1), _numbers(*shape, seed=2)) for name, shape in SHAPES.items()}
    samples = [Sample(name, pair) for name, pair in pairs.items()]
    same = _numbers(4, seed=3)
    return [*samples, Sample("equal", (same, same.clone()), differentiable=False)]


def extreme_numbers() -> list[Sample]:
    levels = {"high": 1e4, "low": -1e4, "zero": 0.0, "tiny": 1e-30}
    ones = torch.ones(2, 3, dtype=torch.float64)
    return [Sample(f"{a}, {b}", (x * ones, y * ones)) for a, x in levels.items() for b, y in levels.items()]


def variances() -> list[Sample]:
    spread = {name: _numbers(*shape, seed=4).abs() + 0.1 for name, shape in SHAPES.items()}
    return [Sample(s.name, (*s.inputs, spread[s.name])) for s in numbers() if s.name in spread]


def extreme_variances() -> list[Sample]:
    spread = {"none": 0.0, "tiny": 1e-30, "one": 1.0, "large": 1e4}
    return [
        Sample(f"{s.name}, {name}", (*s.inputs, v * torch.ones_like(s.inputs[0])))
        for s in extreme_numbers()
        for name, v in spread.items()
    ]


def counts() -> list[Sample]:
    return [Sample(s.name, (s.inputs[0], s.inputs[1].abs().round()), differentiable=True) for s in numbers()]


def extreme_counts() -> list[Sample]:
    return [s for s in extreme_numbers() if not (s.inputs[1] < 0).any()]


def _precision(size: int) -> Tensor:
    factor = _numbers(size, size, seed=5)
    return factor @ factor.T / size + 0.5 * torch.eye(size, dtype=torch.float64)


def vectors() -> list[Sample]:
    return [
        Sample(f"{count} of {size}", (_numbers(count, size, seed=6), _numbers(count, size, seed=7)), buffers=_of(size))
        for count, size in ((5, 4), (1, 3), (6, 1))
    ]


def extreme_vectors() -> list[Sample]:
    ends = {"high": 1e4, "low": -1e4, "zero": 0.0}
    ones = torch.ones(2, 3, dtype=torch.float64)
    return [Sample(f"{a}, {b}", (x * ones, y * ones), buffers=_of(3)) for a, x in ends.items() for b, y in ends.items()]


def _of(size: int) -> dict[str, Tensor]:
    return {"precision": _precision(size)}


def _empty(*shape: int) -> Tensor:
    return torch.zeros(shape, dtype=torch.float64)


CASES = [
    Case("mse", mse),
    Case("mae", mae, twice=False),
    *(Case("huber", huber, {"delta": delta}) for delta in (1.0, 0.3, 5.0)),
    *(Case("smooth_l1", smooth_l1, {"beta": beta}) for beta in (1.0, 0.3)),
    Case("log_cosh", log_cosh),
    *(Case("pinball", pinball, {"quantile": q}, twice=False) for q in (0.5, 0.1, 0.9)),
    Case("gaussian_nll", gaussian_nll, {"eps": 1e-6}),
    Case("gaussian_nll", gaussian_nll, {"eps": 1e-2, "full": True}),
    *(Case("wing", wing, {"width": w, "epsilon": e}) for w, e in ((10.0, 2.0), (1.0, 0.1))),
    *(
        Case("adaptive_wing", adaptive_wing, {"omega": w, "theta": t, "epsilon": e, "alpha": a})
        for w, t, e, a in ((14.0, 0.5, 1.0, 2.1), (2.0, 3.0, 0.5, 3.0))
    ),
    *(
        Case(name, oracle, {"scale": scale})
        for name, oracle in (("cauchy", cauchy), ("geman_mcclure", geman_mcclure), ("welsch", welsch))
        for scale in (1.0, 0.3, 5.0)
    ),
    *(Case("tukey_biweight", tukey_biweight, {"scale": scale}) for scale in (1.0, 5.0)),
    *(Case("beta_nll", beta_nll, {"beta": beta, "eps": 1e-6}) for beta in (0.5, 1.0)),
    *(Case("student_t_nll", student_t_nll, {"degrees": degrees, "eps": 1e-6}) for degrees in (5.0, 2.5)),
    Case("laplace_nll", laplace_nll, {"eps": 1e-6}),
    Case("logistic_crps", logistic_crps, {"eps": 1e-6}),
    Case("normal_crps", normal_crps, {"eps": 1e-6}),
    Case("poisson", poisson),
    *(Case("tweedie", tweedie, {"power": power}) for power in (1.5, 1.1)),
    *(Case("negative_binomial", negative_binomial, {"alpha": alpha}) for alpha in (1.0, 0.2, 4.0)),
    Case("gamma", gamma),
    Case("squared_log", squared_log),
    Case("count_mae", count_mae),
    Case("mahalanobis", mahalanobis),
    Case("mahalanobis", mahalanobis, {"squared": False}),
]

ORDINARY: dict[str, Samples] = {
    "regression": numbers,
    "regression_counts": counts,
    "regression_variance": variances,
    "regression_vector": vectors,
}
EMPTY: dict[str, Samples] = {
    "regression": lambda: [Sample(f"{shape}", (_empty(*shape), _empty(*shape))) for shape in ((0,), (0, 3), (2, 0))],
    "regression_counts": lambda: [Sample("empty", (_empty(0, 3), _empty(0, 3)))],
    "regression_variance": lambda: [Sample("empty", (_empty(0, 3), _empty(0, 3), _empty(0, 3)))],
    "regression_vector": lambda: [Sample("empty", (_empty(0, 3), _empty(0, 3)), buffers=_of(3))],
}
EXTREME: dict[str, Samples] = {
    "regression": extreme_numbers,
    "regression_counts": extreme_counts,
    "regression_variance": extreme_variances,
    "regression_vector": extreme_vectors,
}
