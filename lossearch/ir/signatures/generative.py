"""Signatures of one side of generative models: what a generator, and what a prior is given."""

from __future__ import annotations

from dataclasses import replace

from lossearch.ir.core.interval import Interval
from lossearch.ir.core.signature import Signature, register_signature
from lossearch.ir.signatures.images import ADVERSARIAL, LATENT

ADVERSARIAL_GENERATOR = register_signature(
    Signature(
        "adversarial_generator",
        tuple(replace(one, optional=one.name == "real") for one in ADVERSARIAL.inputs),
        "scores of generated and real samples, for a generator",
        family="adversarial",
    )
)

LATENT_PRIOR = register_signature(
    Signature(
        "latent_prior",
        # Narrower than beside reconstructions: divergences in the other direction have the inverse of the variance.
        (LATENT["mean"], replace(LATENT["log_variance"], domain=Interval(-40.0, 40.0))),
        "a Gaussian latent distribution alone",
        family="latent",
    )
)
