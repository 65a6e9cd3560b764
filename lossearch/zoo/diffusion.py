"""Losses of diffusion models: predictions of the noise that was added, or of the score."""

from __future__ import annotations

import math

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import NON_NEGATIVE, POSITIVE, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import hand_designed

_LEAST_SNR = 1e-4
"""Signal-to-noise ratio that smaller ones count as, where a loss divides by it."""


@hand_designed(signature="diffusion", source="Ho et al. 2020")
def noise_prediction(prediction: Expr, noise: Expr) -> Expr:
    """Squared error (ε̂ - ε)² of the predicted noise: the simplified bound."""
    return fn.square(prediction - noise)


@hand_designed(signature="diffusion_score", source="Song and Ermon 2019")
def denoising_score_matching(score: Expr, noise: Expr, sigma: Expr) -> Expr:
    """Denoising score matching weighted by σ²: (σ·s + ε)²/2, least where s is the score -ε/σ of the noised sample.

    Vincent 2011 proposed the objective, Song and Ermon 2019 the weight that makes all noise levels count alike.
    """
    return fn.square(sigma * score + noise) / 2


@hand_designed(
    signature="diffusion_snr",
    source="Hang et al. 2023",
    parameters=[Parameter("gamma", 5.0, 0.01, 1000.0, tunable=True, log=True, search=(1.0, 20.0), defined=POSITIVE)],
)
def min_snr(prediction: Expr, noise: Expr, snr: Expr, gamma: Expr) -> Expr:
    """Squared error of predicted noise weighted by min(SNR, γ)/SNR, so that steps with little noise do not dominate."""
    # min(SNR, γ)/SNR = min(1, γ/SNR) is one where nothing is signal.
    return fn.minimum(gamma / snr, 1.0) * fn.square(prediction - noise)


@hand_designed(
    signature="diffusion_snr",
    source="Crowson et al. 2024",
    parameters=[Parameter("gamma", 4.0, 0.01, 1000.0, tunable=True, log=True, search=(1.0, 20.0), defined=POSITIVE)],
)
def soft_min_snr(prediction: Expr, noise: Expr, snr: Expr, gamma: Expr) -> Expr:
    """Squared error of predicted noise weighted by γ/(SNR + γ): Min-SNR without a bend.

    With γ = e^b it is the sigmoid weighting σ(b - log SNR) of Kingma and Gao 2023.
    """
    return gamma / (snr + gamma) * fn.square(prediction - noise)


@hand_designed(
    signature="diffusion_snr",
    source="Choi et al. 2022",
    parameters=[
        Parameter("k", 1.0, 0.01, 1000.0, tunable=True, log=True, search=(0.1, 10.0), defined=POSITIVE),
        Parameter("gamma", 1.0, 0.0, 3.0, tunable=True, search=(0.0, 2.0), defined=NON_NEGATIVE),
    ],
)
def p2_weighting(prediction: Expr, noise: Expr, snr: Expr, k: Expr, gamma: Expr) -> Expr:
    """Squared error of predicted noise weighted by 1/(k + SNR)^γ, so that coarse features come before fine noise."""
    return fn.exp(-gamma * fn.log(k + snr)) * fn.square(prediction - noise)


@hand_designed(signature="diffusion_snr", source="Salimans and Ho 2022")
def truncated_snr(prediction: Expr, noise: Expr, snr: Expr) -> Expr:
    """The larger one of the squared errors of noise and of image, max(1, 1/SNR)·(ε̂ - ε)².

    A SNR below 1e-4 counts as 1e-4.
    """
    return fn.maximum(1 / fn.maximum(snr, _LEAST_SNR), 1.0) * fn.square(prediction - noise)


@hand_designed(signature="diffusion_snr", source="Salimans and Ho 2022")
def velocity_prediction(prediction: Expr, noise: Expr, snr: Expr) -> Expr:
    """Squared error of the velocity v = α·ε - σ·x that predicted noise stands for: (1 + 1/SNR)·(ε̂ - ε)².

    A SNR below 1e-4 counts as 1e-4.
    """
    return (1 + 1 / fn.maximum(snr, _LEAST_SNR)) * fn.square(prediction - noise)


@hand_designed(signature="diffusion_snr", source="Salimans and Ho 2022")
def signal_prediction(prediction: Expr, noise: Expr, snr: Expr) -> Expr:
    """Squared error of the image x̂ = (x_t - σ·ε̂)/α that predicted noise stands for: (ε̂ - ε)²/SNR.

    A SNR below 1e-4 counts as 1e-4.
    """
    return fn.square(prediction - noise) / fn.maximum(snr, _LEAST_SNR)


@hand_designed(
    signature="diffusion_snr",
    source="Karras et al. 2022",
    parameters=[
        Parameter("sigma_data", 0.5, 0.01, 100.0, tunable=True, log=True, search=(0.1, 2.0), defined=(1e-4, math.inf))
    ],
)
def edm_weighting(prediction: Expr, noise: Expr, snr: Expr, sigma_data: Expr) -> Expr:
    """EDM's weight (σ² + s²)/(σ·s)² of the image's squared error, σ² = 1/SNR: (1 + 1/(s²·SNR))·(ε̂ - ε)².

    `sigma_data` s is the standard deviation of the data; `velocity_prediction` at s = 1. A SNR below 1e-4 counts as
    1e-4. The paper also draws log σ from N(-1.2, 1.2²); here noise levels are those of the training.
    """
    return (1 + 1 / (fn.square(sigma_data) * fn.maximum(snr, _LEAST_SNR))) * fn.square(prediction - noise)


@hand_designed(signature="diffusion_snr", source="Lipman et al. 2023")
def flow_matching(prediction: Expr, noise: Expr, snr: Expr) -> Expr:
    """Flow matching on straight paths: squared error of the velocity ε - x, (1 + 1/√SNR)²·(ε̂ - ε)².

    Of x_t = (1 - t)·x + t·ε, SNR = (1 - t)²/t², the velocity that predicted noise stands for is off by
    (ε̂ - ε)/(1 - t). A SNR below 1e-4 counts as 1e-4. The paper draws t evenly; here it is as the training draws it.
    """
    return fn.square((1 + 1 / fn.sqrt(fn.maximum(snr, _LEAST_SNR))) * (prediction - noise))
