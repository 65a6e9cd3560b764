"""Losses of diffusion models: predictions of the noise that was added, or of the score."""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import POSITIVE, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import hand_designed


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
