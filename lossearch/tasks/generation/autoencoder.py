"""Variational autoencoders: images are encoded to a distribution near a prior, from which others are decoded."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from lossearch.tasks.base import Slot
from lossearch.tasks.described import Batch, Model, Phase
from lossearch.tasks.generation.models import Autoencoder
from lossearch.tasks.generation.task import GenerationTask

LARGEST_LOG_VARIANCE = 20.0
"""At which log-variances of latent numbers are cut, and its negative."""


class AutoencoderTask(GenerationTask):
    """A variational autoencoder that is told the class (Kingma and Welling 2014, Sohn et al. 2015).

    Images are generated from standard normal latent numbers. The losses of both slots are added.
    """

    @property
    def slots(self) -> Mapping[str, Slot]:
        """Decoded and true pixels; the distribution of latent numbers."""
        return {
            "reconstruction": Slot("regression", "mse"),
            "prior": Slot("latent_prior", "gaussian_prior(beta=0.005)"),
        }

    def build_model(self) -> nn.Module:
        """An encoder and a decoder."""
        given = self.config
        return Autoencoder(math.prod(self._shape), self._pictures.classes, given.latent, given.hidden)

    def drawn(self, images: Tensor, draw: np.random.Generator) -> Mapping[str, Tensor]:
        """Standard normal numbers."""
        latent = draw.standard_normal((len(images), self.config.latent), dtype=np.float32)
        return {"latent": torch.from_numpy(latent)}

    def step(self, model: Model, batch: Batch) -> Iterable[Phase]:
        """Decoded and true pixels `[batch, pixel]`; means and log-variances `[batch, feature]`."""
        images, classes = batch["images"].flatten(-3), batch["classes"]
        mean, log_variance = model(images, classes, part="encoder")
        log_variance = log_variance.clamp(-LARGEST_LOG_VARIANCE, LARGEST_LOG_VARIANCE)
        latent = mean + torch.exp(0.5 * log_variance) * batch["latent"]
        decoded = model(latent, classes, part="decoder")
        given = {
            "reconstruction": {"prediction": decoded, "target": images},
            "prior": {"mean": mean, "log_variance": log_variance},
        }
        return (Phase(given),)

    def generated(self, model: Model, batch: Batch) -> Tensor:
        """What the decoder makes of latent numbers."""
        found = model(batch["latent"], batch["classes"], part="decoder")
        return found.unflatten(-1, self._shape)
