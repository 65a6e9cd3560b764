"""Losses of variational autoencoders: `reconstruction[batch, *space]`, `target`, and a Gaussian latent distribution.

Those of the signature `latent_prior` look at the distribution N(μ, σ²) alone and draw it to the prior N(0, 1); a loss
of the reconstruction is added to them.
"""

from __future__ import annotations

import lossearch.primitives as pr
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import NON_NEGATIVE, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import choose, hand_designed

PRIOR = "latent_prior"


@hand_designed(
    signature="latent",
    source="Kingma and Welling 2014",
    parameters=[Parameter("beta", 1.0, 0.0, 1000.0, tunable=True, search=(0.0, 10.0), defined=NON_NEGATIVE)],
)
def vae(
    reconstruction: Expr, target: Expr, mean: Expr, log_variance: Expr, beta: Expr, *, norm: str = "squared"
) -> Expr:
    """Negative evidence bound of each sample: Σ (x̂ - x)²/2 + β·KL(N(μ, σ²) ‖ N(0, 1)).

    β = 1 is the bound itself, with a decoder of unit variance and without its constant; other β are Higgins et al.
    2017. `norm="absolute"` has Σ |x̂ - x|, a Laplacian decoder.
    """
    residual = reconstruction - target
    error = choose("norm", norm, {"squared": fn.square(residual) / 2, "absolute": fn.abs(residual)})
    return fn.sum(error, "space") + beta * pr.gaussian_kl(mean, log_variance)


@hand_designed(
    signature=PRIOR,
    source="Kingma and Welling 2014",
    parameters=[Parameter("beta", 1.0, 0.0, 1000.0, tunable=True, search=(0.0, 10.0), defined=NON_NEGATIVE)],
)
def gaussian_prior(mean: Expr, log_variance: Expr, beta: Expr) -> Expr:
    """β·KL(N(μ, σ²) ‖ N(0, 1)) of each sample, the second term of the evidence bound.

    Other β than 1 are Higgins et al. 2017.
    """
    return beta * pr.gaussian_kl(mean, log_variance)


@hand_designed(
    signature=PRIOR,
    source="Kingma et al. 2016",
    parameters=[Parameter("bits", 0.1, 0.0, 100.0, tunable=True, search=(0.0, 1.0), defined=NON_NEGATIVE)],
)
def free_bits(mean: Expr, log_variance: Expr, bits: Expr) -> Expr:
    """Free bits Σ_j max(λ, KL_j), with KL_j the mean over the batch in nats: a latent number may keep λ for nothing."""
    divergence = (fn.expm1(log_variance) + fn.square(mean) - log_variance) / 2
    return fn.sum(fn.maximum(fn.mean(divergence, "batch"), bits), "feature")


@hand_designed(
    signature=PRIOR,
    source="Burgess et al. 2018",
    parameters=[Parameter("capacity", 5.0, 0.0, 1000.0, tunable=True, search=(0.0, 50.0), defined=NON_NEGATIVE)],
)
def capacity_prior(mean: Expr, log_variance: Expr, capacity: Expr) -> Expr:
    """Capacity |KL - C| of each sample, which asks for C nats of information."""
    return fn.abs(pr.gaussian_kl(mean, log_variance) - capacity)


@hand_designed(signature=PRIOR, source="Hershey and Olsen 2007")
def reverse_kl_prior(mean: Expr, log_variance: Expr) -> Expr:
    """Divergence in the other direction, KL(N(0, 1) ‖ N(μ, σ²)) = Σ ((1 + μ²)/σ² - 1 + log σ²)/2 of each sample."""
    return fn.sum(_reverse(mean, log_variance), "feature") / 2


@hand_designed(signature=PRIOR, source="Jeffreys 1946")
def jeffreys_prior(mean: Expr, log_variance: Expr) -> Expr:
    """Jeffreys' divergence, the sum of KL in both directions: Σ ((1 + μ²)/σ² + σ² + μ² - 2)/2 of each sample."""
    both = fn.expm1(log_variance) + fn.square(mean) - log_variance + _reverse(mean, log_variance)
    return fn.sum(both, "feature") / 2


@hand_designed(signature=PRIOR, source="Dowson and Landau 1982")
def wasserstein_prior(mean: Expr, log_variance: Expr) -> Expr:
    """Squared Wasserstein distance Σ μ² + (σ - 1)² from the standard normal, of each sample."""
    return fn.sum(fn.square(mean) + fn.square(fn.expm1(log_variance / 2)), "feature")


@hand_designed(
    signature=PRIOR,
    source="Li and Turner 2016",
    parameters=[Parameter("alpha", 0.5, 0.05, 0.95, tunable=True, defined=(0.05, 0.95))],
)
def renyi_prior(mean: Expr, log_variance: Expr, alpha: Expr) -> Expr:
    """Rényi's divergence of order α from the standard normal, of each sample, 0 < α < 1.

    Σ (α·μ²/s + log s/(1 - α) - log σ²)/2 with s = α + (1 - α)·σ². Towards α = 1 it becomes the KL divergence.
    """
    mixed = alpha + (1 - alpha) * fn.exp(log_variance)
    parts = alpha * fn.square(mean) / mixed + fn.log(mixed) / (1 - alpha) - log_variance
    return fn.sum(parts, "feature") / 2


def _reverse(mean: Expr, log_variance: Expr) -> Expr:
    # 1/σ² - 1 = expm1(-log σ²) is exact near one.
    return fn.expm1(-log_variance) + fn.square(mean) * fn.exp(-log_variance) + log_variance
