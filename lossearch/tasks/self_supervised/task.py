"""Features learned from two views of each image, without its label."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lossearch.tasks.base import Metric, Slot
from lossearch.tasks.classification.noise import stratified_subset
from lossearch.tasks.classification.splits import search_indices, test_indices
from lossearch.tasks.datasets.data import Arrays, load
from lossearch.tasks.datasets.registry import dataset
from lossearch.tasks.described import Batch, DescribedTask, Model, Phase, RecentDraws, Split
from lossearch.tasks.self_supervised.config import SelfSupervisedConfig, self_supervised_config
from lossearch.tasks.self_supervised.metrics import METRICS, Features
from lossearch.tasks.self_supervised.models import ProjectedNet
from lossearch.tasks.self_supervised.views import drawn, view
from lossearch.tasks.streams import Stream, generator, redrawn

SLOTS = {
    "views": (Slot("views", "vicreg"), ("first", "second")),
    "positives": (Slot("positives", "nt_xent"), ("anchor", "positive")),
}
"""By what the loss is given: its slot, and the names of an image's two views there."""


class SelfSupervisedTask(DescribedTask):
    """A small convolutional network is trained by two views of each image; simple classifiers judge its features.

    The loss is given a projection of the features. Classifiers are fitted to some validation images with labels and
    judged by the others, so that no image that is judged was seen in training. Images are scaled to mean 0 and
    deviation 1 of the task's own training split.

    Args:
        spec: a task's name, a mapping as read from TOML, or a configuration.

    Raises:
        UserError: the configuration does not fit, or the data is missing or damaged.
    """

    def __init__(self, spec: str | Mapping[str, Any] | SelfSupervisedConfig) -> None:
        super().__init__(self_supervised_config(spec))
        self._data = load(self.config.dataset)
        images = self._shrunk(self._data.images_at(search_indices(self.config, self._data, self.config.split_seed)[0]))
        self._mean, self._deviation = float(images.mean()), max(float(images.std()), 1e-12)
        self._own = self._drawn(self.config.split_seed)
        self._redrawn = RecentDraws(lambda seed: self._drawn(redrawn(self.config.split_seed, seed)))

    @property
    def config(self) -> SelfSupervisedConfig:
        """What defines the task."""
        return cast(SelfSupervisedConfig, self._config)

    @property
    def slots(self) -> Mapping[str, Slot]:
        """One: projections of both views of each image."""
        return {"loss": SLOTS[self.config.given][0]}

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The configured one first, then the other."""
        return {self.config.metric: METRICS[self.config.metric]} | METRICS

    def describe(self) -> str:
        """Data and sizes."""
        given = self.config
        return (
            f"{self.name}: features of {given.dataset} from {given.train_size} training images without labels, judged"
            f" by {given.val_size - given.probe_size} others with {given.probe_size} labelled ones, losses of"
            f" {given.given}"
        )

    def build_model(self) -> nn.Module:
        """A convolutional network with a projection."""
        given, shape = self.config, self._own[0]["images"].shape
        return ProjectedNet((shape[1], shape[2], shape[3]), given.channels, given.features, given.projection)

    def draw(self, seed: int) -> tuple[Split, Split]:
        """Training and validation images of a training with this seed."""
        return self._redrawn(seed) if self.config.resample else self._own

    def order(self, samples: int, draw: np.random.Generator) -> npt.NDArray[np.int64]:
        """One pair of views of each image after the other, so that no batch has two of one image."""
        images = self.config.train_size
        return np.concatenate([draw.permutation(images) + start for start in range(0, samples, images)])

    def step(self, model: Model, batch: Batch) -> Iterable[Phase]:
        """Projections `[batch, projection]` of both views of each image."""
        found = {
            name: model(view(batch["images"], numbers, self.config.distortion))
            for name, numbers in zip(SLOTS[self.config.given][1], batch["numbers"].unbind(-2), strict=True)
        }
        return (Phase({"loss": found}),)

    def measure(self, model: Model, parts: Iterable[Batch]) -> Mapping[str, Tensor]:
        """All metrics; classifiers are fitted to the first images."""
        pairs = [(model(part["images"], judged=True), part["labels"]) for part in parts]
        features, labels = (torch.cat(tensors, 1) for tensors in zip(*pairs, strict=True))
        count = self.config.probe_size
        classes = len(self._data.classes)
        cut = Features(features[:, :count], labels[:, :count], features[:, count:], labels[:, count:], classes)
        return {name: METRICS[name].function(cut) for name in self.metrics}

    def test_split(self) -> Split:
        """Images that no training and no choice saw."""
        official = bool(dataset(self.config.dataset).test_samples)
        arrays = load(self.config.dataset, "test" if official else "train")
        return self._held(arrays, test_indices(self.config, arrays), self.config.split_seed)

    def _drawn(self, seed: int) -> tuple[Split, Split]:
        train, validation = search_indices(self.config, self._data, seed)
        copies = self.config.copies
        images = self._scaled(self._data, train).repeat(copies, 1, 1, 1)
        labels = torch.from_numpy(self._data.labels[train]).repeat(copies)
        numbers = drawn(len(images), generator(seed, Stream.NOISE))
        return Split({"images": images, "labels": labels, "numbers": numbers}), self._held(self._data, validation, seed)

    def _held(self, arrays: Arrays, places: npt.NDArray[np.int64], seed: int) -> Split:
        """Held-out images, those that classifiers are fitted to first."""
        fitted = stratified_subset(
            arrays.labels[places], self.config.probe_size, generator(seed, Stream.VALIDATION_SPLIT, 1)
        )
        ordered = np.concatenate([places[fitted], np.delete(places, fitted)])
        return Split({"images": self._scaled(arrays, ordered), "labels": torch.from_numpy(arrays.labels[ordered])})

    def _scaled(self, arrays: Arrays, places: npt.NDArray[np.int64]) -> Tensor:
        return (self._shrunk(arrays.images_at(places)) - self._mean) / self._deviation

    def _shrunk(self, images: npt.NDArray[np.float32]) -> Tensor:
        shrink = self.config.shrink
        return F.avg_pool2d(torch.from_numpy(images), shrink) if shrink > 1 else torch.from_numpy(images)
