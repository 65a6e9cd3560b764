"""Adversarial training: a generator of images and a discriminator, trained in turn by a loss each."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping

import numpy as np
import torch
from torch import Tensor, nn

from lossearch.tasks.base import Slot
from lossearch.tasks.described import Batch, Model, Phase
from lossearch.tasks.generation.models import Adversaries
from lossearch.tasks.generation.task import GenerationTask


class AdversarialTask(GenerationTask):
    """A generator and a discriminator, both told the class (Goodfellow et al. 2014, Mirza and Osindero 2014).

    In each step the discriminator is updated first, then the generator by scores that the updated one gives the same
    images.
    """

    @property
    def slots(self) -> Mapping[str, Slot]:
        """One for each side: scores of generated and of real images."""
        return {
            "discriminator": Slot("adversarial", "gan_non_saturating"),
            "generator": Slot("adversarial_generator", "generator_non_saturating"),
        }

    def build_model(self) -> nn.Module:
        """A generator and a discriminator."""
        given = self.config
        return Adversaries(math.prod(self._shape), self._pictures.classes, given.latent, given.hidden)

    def drawn(self, images: Tensor, draw: np.random.Generator) -> Mapping[str, Tensor]:
        """Latent numbers, standard normal."""
        latent = draw.standard_normal((len(images), self.config.latent), dtype=np.float32)
        return {"latent": torch.from_numpy(latent)}

    def step(self, model: Model, batch: Batch) -> Iterable[Phase]:
        """Scores `[batch]` of generated and of real images; then of the same again, for the generator."""
        classes, real = batch["classes"], batch["images"].flatten(-3)
        both = torch.cat([classes, classes], -2)
        for side in ("discriminator", "generator"):
            with torch.set_grad_enabled(side == "generator"):
                fake = model(batch["latent"], classes, part="generator")
            scores = model(torch.cat([fake, real], -2), both, part="discriminator")
            yield Phase({side: dict(zip(("fake", "real"), scores.chunk(2, -1), strict=True))}, side)

    def generated(self, model: Model, batch: Batch) -> Tensor:
        """What the generator makes of latent numbers."""
        found = model(batch["latent"], batch["classes"], part="generator")
        return found.unflatten(-1, self._shape)
