"""Adversarial, latent, diffusion and tracking losses, and sums of component losses."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Normal, kl_divergence

from .regression import mse_by_square, pair
from .row import Form, Inputs, Row


def latent(*size: int) -> tuple[Tensor, ...]:
    """Reconstructions and targets, and mean and log-variance of 32 latent variables."""
    return *pair(*size), *pair(size[0], 32)


def with_level(*size: int) -> tuple[Tensor, Tensor, Tensor]:
    """A prediction, the noise, and a noise level or signal-to-noise ratio a sample."""
    return *pair(*size), 10 * torch.rand(size[0]) + 0.1


def signs(*size: int) -> tuple[Tensor, Tensor]:
    """A response map, and ±1 at each position."""
    return torch.randn(size), torch.randn(size).sign()


def components(count: int) -> tuple[tuple[Tensor], Mapping[str, Tensor]]:
    """Component losses and their weights."""
    return (torch.rand(count),), {"weights": torch.rand(count)}


def uncertain(count: int) -> tuple[tuple[Tensor], Mapping[str, Tensor]]:
    """Component losses, and what is learned about them."""
    return (torch.rand(count),), {"log_variance": torch.randn(count), "factor": torch.ones(count)}


def three(count: int) -> tuple[Tensor, Tensor, Tensor]:
    """Three positive numbers for each component loss."""
    return torch.rand(count) + 0.5, torch.rand(count) + 0.5, torch.rand(count) + 0.5


IMAGES = {"small": (4, 3, 16, 16), "large": (16, 3, 128, 128), "tiny": (2, 3, 2, 2)}
LATENT, DIFFUSION, LEVELS = (Inputs(make, **IMAGES) for make in (latent, pair, with_level))
SCORES = {"small": (64,), "large": (16, 256, 256), "tiny": (6,)}
ADVERSARIAL, RESPONSE = Inputs(pair, **SCORES), Inputs(signs, **SCORES)
COMPONENTS, UNCERTAIN = (Inputs(make, small=(3,), large=(64,), tiny=(3,)) for make in (components, uncertain))
THREE = Inputs(three, small=(3,), large=(64,), tiny=(3,))


def minimax_by_softplus(fake: Tensor, real: Tensor) -> Tensor:
    return F.softplus(-real).mean() + F.softplus(fake).mean()


def torch_minimax(fake: Tensor, real: Tensor, zeros: Tensor, ones: Tensor) -> Tensor:
    cross_entropy = F.binary_cross_entropy_with_logits
    return cross_entropy(real, ones) + cross_entropy(fake, zeros)


def lsgan_by_square(fake: Tensor, real: Tensor) -> Tensor:
    return ((real - 1).square().mean() + fake.square().mean()) / 2


def torch_lsgan(fake: Tensor, real: Tensor, zeros: Tensor, ones: Tensor) -> Tensor:
    return (F.mse_loss(real, ones) + F.mse_loss(fake, zeros)) / 2


def hinge_by_relu(fake: Tensor, real: Tensor) -> Tensor:
    return F.relu(1 - real).mean() + F.relu(1 + fake).mean()


def wgan_by_mean(fake: Tensor, real: Tensor) -> Tensor:
    return fake.mean() - real.mean()


def vae_by_formula(reconstruction: Tensor, target: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    error = F.mse_loss(reconstruction, target, reduction="sum")
    divergence = (mean.square() + log_variance.exp() - 1 - log_variance).sum()
    return (error + divergence) / (2 * len(mean))


def vae_by_distributions(reconstruction: Tensor, target: Tensor, mean: Tensor, log_variance: Tensor) -> Tensor:
    divergence = kl_divergence(Normal(mean, (0.5 * log_variance).exp()), Normal(0.0, 1.0)).sum()
    return (F.mse_loss(reconstruction, target, reduction="sum") / 2 + divergence) / len(mean)


def _per_sample(value: Tensor, like: Tensor) -> Tensor:
    return value.view(-1, *[1] * (like.dim() - 1))


def score_matching_by_square(score: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
    return (_per_sample(sigma, score) * score + noise).square().mean() / 2


def min_snr_by_square(prediction: Tensor, noise: Tensor, snr: Tensor) -> Tensor:
    """γ = 5."""
    squares = (prediction - noise).square().flatten(1).mean(1)
    return (snr.clamp(max=5) / snr * squares).mean()


def cross_correlation_by_softplus(response: Tensor, target: Tensor) -> Tensor:
    return F.softplus(-target * response).mean()


def weighted_sum_by_dot(losses: Tensor, weights: Tensor) -> Tensor:
    return torch.dot(losses, weights)


def weighted_sum_by_sum(losses: Tensor, weights: Tensor) -> Tensor:
    return (losses * weights).sum()


def uncertainty_by_sum(losses: Tensor, log_variance: Tensor, factor: Tensor) -> Tensor:
    return (factor * torch.exp(-log_variance) * losses + log_variance / 2).sum()


def dynamic_weight_average_by_softmax(losses: Tensor, last: Tensor, before: Tensor) -> Tensor:
    """As the authors' code, T = 2."""
    return (len(losses) * F.softmax(last / before / 2, 0) * losses).sum()


def gradnorm_by_difference(weights: Tensor, norms: Tensor, rates: Tensor) -> Tensor:
    """α = 1.5."""
    scaled = weights * norms
    return (scaled - (scaled.mean() * rates**1.5).detach()).abs().sum()


def _with_labels(fake: Tensor, real: Tensor) -> Sequence[Any]:
    return fake, real, torch.zeros_like(fake), torch.ones_like(real)


CROSS_ENTROPY = Form("torch binary_cross_entropy_with_logits", torch_minimax, _with_labels)


def relativistic_by_softplus(fake: Tensor, real: Tensor) -> Tensor:
    return F.softplus(fake - real).mean()


ROWS = [
    Row("relativistic_gan", ADVERSARIAL, (), (relativistic_by_softplus,)),
    Row("gan_minimax", ADVERSARIAL, (CROSS_ENTROPY,), (minimax_by_softplus,)),
    Row("gan_non_saturating", ADVERSARIAL, (CROSS_ENTROPY,), (minimax_by_softplus,)),
    Row("lsgan", ADVERSARIAL, (Form("torch mse_loss", torch_lsgan, _with_labels),), (lsgan_by_square,)),
    Row("hinge_gan", ADVERSARIAL, (), (hinge_by_relu,)),
    Row("wgan", ADVERSARIAL, (), (wgan_by_mean,)),
    Row("vae", LATENT, (Form("torch.distributions", vae_by_distributions),), (vae_by_formula,)),
    Row("noise_prediction", DIFFUSION, (Form("torch mse_loss", F.mse_loss),), (mse_by_square,)),
    Row("denoising_score_matching", LEVELS, (), (score_matching_by_square,)),
    Row("min_snr", LEVELS, (), (min_snr_by_square,)),
    Row(
        "cross_correlation",
        RESPONSE,
        (Form("torch soft_margin_loss", F.soft_margin_loss),),
        (cross_correlation_by_softplus,),
    ),
    Row("weighted_sum", COMPONENTS, (Form("torch dot", weighted_sum_by_dot),), (weighted_sum_by_sum,)),
    Row("uncertainty_weighting", UNCERTAIN, (), (uncertainty_by_sum,)),
    Row("dynamic_weight_average", THREE, (), (dynamic_weight_average_by_softmax,)),
    Row("gradnorm", THREE, (), (gradnorm_by_difference,)),
]
