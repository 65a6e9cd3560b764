"""Embeddings of images in which classes lie apart: sketches of things, faces of people."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lossearch.tasks.base import Metric, Slot
from lossearch.tasks.datasets.data import load
from lossearch.tasks.described import Batch, DescribedTask, Model, Phase, RecentDraws, Split
from lossearch.tasks.metric_learning.config import MetricLearningConfig, metric_learning_config
from lossearch.tasks.metric_learning.disturbances import disturbed
from lossearch.tasks.metric_learning.metrics import METRICS, measured
from lossearch.tasks.metric_learning.models import EmbeddingNet
from lossearch.tasks.metric_learning.splits import Part, batch_order, search_parts, test_part
from lossearch.tasks.streams import Stream, generator, redrawn

_TRAIN, _VALIDATION, _TEST = 1, 2, 3  # which images' disturbances a random number is for


class MetricLearningTask(DescribedTask):
    """A small convolutional network embeds images on the unit sphere; what it is judged by are classes it never saw.

    Every batch has several samples of each of several classes, so that losses find pairs of one class and of two. The
    loss is given embeddings with labels, or, of a margin head, the cosines to class centres that are learned with the
    network. Images are scaled to mean 0 and deviation 1 of the task's own training split.

    Args:
        spec: a task's name, a mapping as read from TOML, or a configuration.

    Raises:
        UserError: the configuration does not fit, or the data is missing or damaged.
    """

    def __init__(self, spec: str | Mapping[str, Any] | MetricLearningConfig) -> None:
        super().__init__(metric_learning_config(spec))
        self._data = load(self.config.dataset)
        seed = self.config.split_seed
        own = search_parts(self.config, self._data.labels)
        images = self._images(own[0], seed, _TRAIN)
        self._mean, self._deviation = float(images.mean()), max(float(images.std()), 1e-12)
        self._own = self._split(own[0], seed, _TRAIN), self._split(own[1], seed, _VALIDATION)
        self._redrawn = RecentDraws(self._drawn)

    @property
    def config(self) -> MetricLearningConfig:
        """What defines the task."""
        return cast(MetricLearningConfig, self._config)

    @property
    def slots(self) -> Mapping[str, Slot]:
        """One: embeddings and labels of a batch, or cosines and labels."""
        if self.config.given == "cosines":
            return {"loss": Slot("margin", "normalized_softmax")}
        return {"loss": Slot("embedding", "supervised_contrastive")}

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The configured one first, then the others."""
        return {self.config.metric: METRICS[self.config.metric]} | METRICS

    def describe(self) -> str:
        """Data and sizes."""
        given = self.config
        return (
            f"{self.name}: embeddings of {given.dataset}, {given.train_classes} classes to train on with"
            f" {given.train_per_class} samples each, {given.val_classes} others for validation, losses of {given.given}"
        )

    def build_model(self) -> nn.Module:
        """An embedding network, with class centres where losses are given cosines."""
        given = self.config
        shape = self._own[0]["images"].shape
        centers = given.train_classes if given.given == "cosines" else 0
        return EmbeddingNet((shape[1], shape[2], shape[3]), given.features, given.channels, centers)

    def draw(self, seed: int) -> tuple[Split, Split]:
        """Training and validation samples of a training with this seed."""
        return self._redrawn(seed) if self.config.resample else self._own

    def order(self, samples: int, draw: np.random.Generator) -> npt.NDArray[np.int64]:
        """Batches of several samples of each of several classes."""
        given = self.config
        per_class = given.train_per_class * given.copies
        return batch_order(given.train_classes, per_class, given.classes_in_batch, given.together, draw)

    def step(self, model: Model, batch: Batch) -> Iterable[Phase]:
        """Embeddings `[batch, feature]` or cosines `[batch, class]`, and labels `[batch]`."""
        if self.config.given == "cosines":
            found = {"cosine": model(batch["images"], cosines=True)}
        else:
            found = {"embeddings": model(batch["images"])}
        return (Phase({"loss": {**found, "target": batch["labels"]}}),)

    def measure(self, model: Model, parts: Iterable[Batch]) -> Mapping[str, Tensor]:
        """All metrics, of each sample among all others."""
        pairs = [(model(part["images"]), part["labels"]) for part in parts]
        embeddings, labels = (torch.cat(tensors, 1) for tensors in zip(*pairs, strict=True))
        found = measured(embeddings, labels)
        return {name: found[name] for name in self.metrics}

    def judge(self, slot: str, inputs: Mapping[str, Tensor]) -> Tensor | None:
        """The metric among the samples of a batch; cosines to the centres of training classes do not tell it."""
        if self.config.given == "cosines":
            return None
        return measured(inputs["embeddings"].unsqueeze(0), inputs["target"].unsqueeze(0))[self.config.metric][0]

    def test_split(self) -> Split:
        """Samples of classes that no training and no choice saw."""
        return self._split(test_part(self.config, self._data.labels), self.config.split_seed, _TEST)

    def _drawn(self, seed: int) -> tuple[Split, Split]:
        train, validation = search_parts(self.config, self._data.labels, seed)
        own = redrawn(self.config.split_seed, seed)
        return self._split(train, own, _TRAIN), self._split(validation, own, _VALIDATION)

    def _split(self, part: Part, seed: int, kind: int) -> Split:
        images = (self._images(part, seed, kind) - self._mean) / self._deviation
        return Split({"images": images, "labels": torch.from_numpy(part.labels)})

    def _images(self, part: Part, seed: int, kind: int) -> Tensor:
        given = self.config
        images = torch.from_numpy(self._data.images_at(part.indices))
        images = F.avg_pool2d(images, given.shrink) if given.shrink > 1 else images
        if not given.lighting and not given.shift:
            return images
        return disturbed(images, given.lighting, given.shift, generator(seed, Stream.NOISE, kind))
