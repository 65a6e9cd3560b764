"""Regression: PyTorch's losses, torchmetrics for log-cosh."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
import torch.nn.functional as F
from torch import Tensor
from torchmetrics.functional.regression import log_cosh_error

from .row import Form, Inputs, Row


def pair(*size: int) -> tuple[Tensor, Tensor]:
    """A prediction and a target."""
    return torch.randn(size), torch.randn(size)


def with_variance(*size: int) -> tuple[Tensor, Tensor, Tensor]:
    """The same with a predicted variance."""
    return *pair(*size), torch.rand(size) + 0.1


def with_precision(*size: int) -> tuple[tuple[Tensor, Tensor], Mapping[str, Tensor]]:
    """Vectors, and the inverse of a covariance."""
    factor = torch.randn(size[1], size[1])
    return pair(*size), {"precision": factor @ factor.T / size[1] + torch.eye(size[1])}


def counted(*size: int) -> tuple[Tensor, Tensor]:
    """Logarithms of means, and counts."""
    return torch.randn(size), torch.poisson(torch.full(size, 2.0))


REGRESSION = Inputs(pair, small=(256,), large=(16, 256, 256), tiny=(3, 4))
VARIANCE = Inputs(with_variance, small=REGRESSION.small, large=REGRESSION.large, tiny=REGRESSION.tiny)
COUNTS = Inputs(counted, small=REGRESSION.small, large=REGRESSION.large, tiny=REGRESSION.tiny)
VECTOR = Inputs(with_precision, small=(64, 16), large=(16384, 64), tiny=(4, 3))


def mse_by_square(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target).square().mean()


def mae_by_abs(prediction: Tensor, target: Tensor) -> Tensor:
    return (prediction - target).abs().mean()


def huber_by_where(prediction: Tensor, target: Tensor) -> Tensor:
    """δ = 1, for which smooth L1 is the same."""
    error = (prediction - target).abs()
    return torch.where(error < 1, error.square() / 2, error - 0.5).mean()


def log_cosh_by_softplus(prediction: Tensor, target: Tensor) -> Tensor:
    difference = prediction - target
    return (difference + F.softplus(-2 * difference) - math.log(2)).mean()


def pinball_by_maximum(prediction: Tensor, target: Tensor) -> Tensor:
    residual = target - prediction
    return torch.maximum(0.9 * residual, -0.1 * residual).mean()


def gaussian_nll_by_log(prediction: Tensor, target: Tensor, variance: Tensor) -> Tensor:
    return ((variance.log() + (prediction - target).square() / variance) / 2).mean()


def mahalanobis_by_product(prediction: Tensor, target: Tensor, precision: Tensor) -> Tensor:
    difference = prediction - target
    return (difference @ precision * difference).sum(1).mean()


def wing_by_where(prediction: Tensor, target: Tensor) -> Tensor:
    """w = 10, ε = 2."""
    size = (prediction - target).abs()
    rest = 10 - 10 * math.log(6)
    return torch.where(size < 10, 10 * torch.log1p(size / 2), size - rest).mean()


def cauchy_by_log(prediction: Tensor, target: Tensor) -> Tensor:
    return (torch.log1p((prediction - target).square()) / 2).mean()


def geman_mcclure_by_ratio(prediction: Tensor, target: Tensor) -> Tensor:
    squared = (prediction - target).square()
    return (squared / (1 + squared) / 2).mean()


def welsch_by_exp(prediction: Tensor, target: Tensor) -> Tensor:
    return ((1 - torch.exp(-(prediction - target).square())) / 2).mean()


def tukey_by_clamp(prediction: Tensor, target: Tensor) -> Tensor:
    return ((1 - (1 - (prediction - target).square()).clamp(min=0) ** 3) / 6).mean()


def beta_nll_by_log(prediction: Tensor, target: Tensor, variance: Tensor) -> Tensor:
    """β = 1/2."""
    loss = (variance.log() + (prediction - target).square() / variance) / 2
    return (variance.detach().sqrt() * loss).mean()


def poisson_by_exp(log_mean: Tensor, target: Tensor) -> Tensor:
    return (log_mean.exp() - target * log_mean).mean()


def tweedie_by_exp(log_mean: Tensor, target: Tensor) -> Tensor:
    """p = 1.5."""
    return (2 * torch.exp(log_mean / 2) + 2 * target * torch.exp(-log_mean / 2)).mean()


ROWS = [
    Row("cauchy", REGRESSION, (), (cauchy_by_log,)),
    Row("geman_mcclure", REGRESSION, (), (geman_mcclure_by_ratio,)),
    Row("welsch", REGRESSION, (), (welsch_by_exp,)),
    Row("tukey_biweight", REGRESSION, (), (tukey_by_clamp,)),
    Row("wing", REGRESSION, (), (wing_by_where,)),
    Row("beta_nll", VARIANCE, (), (beta_nll_by_log,)),
    Row("poisson", COUNTS, (Form("torch poisson_nll_loss", F.poisson_nll_loss),), (poisson_by_exp,)),
    Row("tweedie", COUNTS, (), (tweedie_by_exp,)),
    Row("mse", REGRESSION, (Form("torch mse_loss", F.mse_loss),), (mse_by_square,)),
    Row("mae", REGRESSION, (Form("torch l1_loss", F.l1_loss),), (mae_by_abs,)),
    Row("huber", REGRESSION, (Form("torch huber_loss", F.huber_loss),), (huber_by_where,)),
    Row("smooth_l1", REGRESSION, (Form("torch smooth_l1_loss", F.smooth_l1_loss),), (huber_by_where,)),
    Row(
        "log_cosh",
        REGRESSION,
        (Form("torchmetrics log_cosh_error", log_cosh_error, lambda p, t: (p.flatten(), t.flatten())),),
        (log_cosh_by_softplus,),
    ),
    Row("pinball", REGRESSION, (), (pinball_by_maximum,), {"quantile": 0.9}),
    Row("gaussian_nll", VARIANCE, (Form("torch gaussian_nll_loss", F.gaussian_nll_loss),), (gaussian_nll_by_log,)),
    Row("mahalanobis", VECTOR, (), (mahalanobis_by_product,)),
]
