"""What the tasks of generation share: images, classes, noise, and metrics by features of a fixed network."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from lossearch.tasks.base import Metric
from lossearch.tasks.described import Batch, DescribedTask, Model, Split
from lossearch.tasks.generation.config import GenerationConfig, generation_config
from lossearch.tasks.generation.features import FixedFeatures, fixed_features
from lossearch.tasks.generation.metrics import METRICS, coverage, frechet_distance
from lossearch.tasks.generation.pictures import Labelled, Pictures
from lossearch.tasks.models import ImageShape
from lossearch.tasks.streams import Stream, generator

_TRAIN, _VALIDATION, _TEST = range(3)  # what random numbers are for


class GenerationTask(DescribedTask):
    """Networks that generate images of a class that they are told, in [-1, 1].

    As many images are generated as there are held-out ones, of the same classes; a fixed classifier of the training
    images gives the features by which both are compared. What images are generated from is drawn once, when the split
    is.

    Args:
        spec: a task's name, a mapping as read from TOML, or a configuration.

    Raises:
        UserError: the configuration does not fit, or the data is missing or damaged.
    """

    def __init__(self, spec: str | Mapping[str, Any] | GenerationConfig) -> None:
        super().__init__(generation_config(spec))
        given = self.config
        self._pictures = Pictures(
            given.dataset, given.shrink, given.train_size, given.val_size, given.test_size, given.split_seed
        )
        (images, labels), validation = self._pictures.search()
        copies = images.repeat(given.copies, 1, 1, 1), labels.repeat(given.copies)
        self._own = self._split(copies, _TRAIN), self._split(validation, _VALIDATION)
        self._shape: ImageShape = (images.shape[1], images.shape[2], images.shape[3])

    @property
    def config(self) -> GenerationConfig:
        """What defines the task."""
        return cast(GenerationConfig, self._config)

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The configured one first, then the others."""
        return {self.config.metric: METRICS[self.config.metric]} | METRICS

    def describe(self) -> str:
        """Data, kind and sizes."""
        given = self.config
        sides = "x".join(map(str, self._shape[1:]))
        return (
            f"{self.name}: {given.kind} on {given.dataset} of {sides}, {given.train_size} training images, as many"
            f" generated as the {given.val_size} of validation"
        )

    def draw(self, seed: int) -> tuple[Split, Split]:
        """Training and validation images, the same for every seed."""
        return self._own

    def measure(self, model: Model, parts: Iterable[Batch]) -> Mapping[str, Tensor]:
        """All metrics, of as many generated images as there are real ones."""
        found: dict[str, list[Tensor]] = {"generated": [], "real": [], "right": []}
        for part in parts:
            images = self.generated(model, part).clamp(-1.0, 1.0)
            network = fixed_features(self._pictures, images.device)
            features, scores = _evaluated(network, images)
            found["generated"].append(features)
            found["real"].append(_evaluated(network, part["images"])[0])
            found["right"].append((scores.argmax(-1) == part["classes"].argmax(-1)).float())
        generated, real, right = (torch.cat(tensors, 1) for tensors in found.values())
        values = {
            "frechet_distance": frechet_distance(generated, real).clamp(min=0.0),
            "coverage": coverage(generated, real),
            "class_accuracy": right.mean(-1),
        }
        return {name: values[name] for name in self.metrics}

    def test_split(self) -> Split:
        """Images that no training and no choice saw."""
        return self._split(self._pictures.test(), _TEST)

    @abstractmethod
    def drawn(self, images: Tensor, draw: np.random.Generator) -> Mapping[str, Tensor]:
        """The random numbers of samples: of training steps, or of what is generated.

        Args:
            images: `[sample, channel, height, width]`.
            draw: random numbers of the split.
        """

    @abstractmethod
    def generated(self, model: Model, batch: Batch) -> Tensor:
        """Images `[run, sample, channel, height, width]` of the classes of held-out samples."""

    def _split(self, pictures: Labelled, kind: int) -> Split:
        images, labels = pictures
        classes = F.one_hot(labels, self._pictures.classes).float()
        numbers = self.drawn(images, generator(self.config.split_seed, Stream.NOISE, kind))
        return Split({"images": images, "classes": classes, **numbers})


def _evaluated(network: FixedFeatures, images: Tensor) -> tuple[Tensor, Tensor]:
    """Features and scores `[run, sample, ...]` of `images[run, sample, channel, height, width]`."""
    features, scores = network(images.flatten(0, 1))
    return features.unflatten(0, images.shape[:2]), scores.unflatten(0, images.shape[:2])
