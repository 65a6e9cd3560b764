"""Signatures of one side of generative models: what a generator, and what a prior is given."""

from __future__ import annotations

from lossearch.ir.core.signature import Signature, register_signature
from lossearch.ir.signatures.images import ADVERSARIAL, LATENT

ADVERSARIAL_GENERATOR = register_signature(
    Signature(
        "adversarial_generator",
        ADVERSARIAL.inputs,
        "scores of generated and real samples, for a generator",
        family="adversarial",
    )
)

LATENT_PRIOR = register_signature(
    Signature(
        "latent_prior",
        (LATENT["mean"], LATENT["log_variance"]),
        "a Gaussian latent distribution alone",
        family="latent",
    )
)
