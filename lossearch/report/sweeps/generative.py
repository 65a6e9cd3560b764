"""Scores of samples and responses, and what generative models predict."""

from __future__ import annotations

import torch

from lossearch.report.sweep import Inputs, Sweep, SweepSizes, grid, sweeps
from lossearch.report.sweeps.common import NUMBERS, error, vector

_SNR = 10.0
_SIGMA = 0.5


def _score(inputs: Inputs, moves: str, axis: str, ideal: float, untrained: float = 0.0) -> Sweep:
    return Sweep(axis, "dL/d(score)", grid(-4.0, 4.0), inputs, (moves,), ideal, untrained)


@sweeps("response")
def _response(sizes: SweepSizes) -> tuple[Sweep, ...]:
    return (
        _score(lambda s: (s[None, None], vector(1.0)[None]), "response", "response at the object", 4.0),
        _score(lambda s: (s[None, None], vector(-1.0)[None]), "response", "response elsewhere", -4.0),
    )


@sweeps("adversarial")
def _adversarial(sizes: SweepSizes) -> tuple[Sweep, ...]:
    zero = vector(0.0)[None]
    return (
        _score(lambda s: (s[None, None], zero), "fake", "score of a generated sample, a real one's 0", -4.0, 1.0),
        _score(lambda s: (zero, s[None, None]), "real", "score of a real sample, a generated one's 0", 4.0),
    )


@sweeps("adversarial_generator")
def _adversarial_generator(sizes: SweepSizes) -> tuple[Sweep, ...]:
    zero = vector(0.0)[None]
    return (_score(lambda s: (s[None, None], zero), "fake", "score of a generated sample, a real one's 0", 4.0, -1.0),)


@sweeps("latent_prior")
def _latent_prior(sizes: SweepSizes) -> tuple[Sweep, ...]:
    zero, values = torch.zeros(1, 1, dtype=torch.float64), grid(-3.0, 3.0)
    axis, slope = "log-variance of the posterior", "dL/d(log-variance)"
    return (
        Sweep("mean of the posterior", "dL/d(mean)", values, lambda m: (zero + m, zero), ("mean",), 0.0, 1.0),
        Sweep(axis, slope, values, lambda v: (zero, zero + v), ("log_variance",), ideal=0.0, untrained=1.0),
    )


@sweeps("latent")
def _latent(sizes: SweepSizes) -> tuple[Sweep, ...]:
    zero = torch.zeros(1, 1, dtype=torch.float64)
    values = grid(-3.0, 3.0)
    return (
        Sweep(
            "mean of the posterior", "dL/d(mean)", values, lambda m: (zero, zero, zero + m, zero), ("mean",), 0.0, 1.0
        ),
        Sweep(
            "log-variance of the posterior",
            "dL/d(log-variance)",
            values,
            lambda v: (zero, zero, zero, zero + v),
            ("log_variance",),
            ideal=0.0,
            untrained=1.0,
        ),
        error(lambda e: (zero + e, zero, zero, zero), "reconstruction", "error of the reconstruction"),
    )


@sweeps("diffusion")
def _diffusion(sizes: SweepSizes) -> tuple[Sweep, ...]:
    return (error(lambda e: (NUMBERS + e, NUMBERS), "prediction", "error of the predicted noise"),)


@sweeps("diffusion_score")
def _diffusion_score(sizes: SweepSizes) -> tuple[Sweep, ...]:
    axis = f"error of the noise that the score stands for, at σ = {_SIGMA:g}"
    return (error(lambda e: ((e - NUMBERS) / _SIGMA, NUMBERS, vector(_SIGMA)), "score", axis),)


@sweeps("diffusion_snr")
def _diffusion_snr(sizes: SweepSizes) -> tuple[Sweep, ...]:
    axis = f"error of the predicted noise, at a signal-to-noise ratio of {_SNR:g}"
    return (error(lambda e: (NUMBERS + e, NUMBERS, vector(_SNR)), "prediction", axis),)
