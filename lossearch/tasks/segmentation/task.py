"""Segmentation of crops of a film: which pixels show an object."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from lossearch.tasks.base import Metric, Slot
from lossearch.tasks.class_weights import inverse_frequencies
from lossearch.tasks.datasets.data import load_frames
from lossearch.tasks.datasets.registry import dataset
from lossearch.tasks.described import Batch, DescribedTask, Model, Phase, RecentDraws, Split
from lossearch.tasks.segmentation.config import SegmentationConfig, segmentation_config
from lossearch.tasks.segmentation.crops import Crops, search_crops, search_frames, test_crops, test_frames
from lossearch.tasks.segmentation.metrics import METRICS, counts
from lossearch.tasks.segmentation.models import UNet


class SegmentationTask(DescribedTask):
    """A small U-Net tells the pixels of objects from the background, in crops of a film.

    The masks of the bundled films were made by a computer: losses can be ranked by them, and no more is claimed.
    Images are scaled so that the darkest and the brightest thousandth of the task's own training pixels lie at -1 and
    1, as a deviation would depend on how rare objects are.

    Args:
        spec: a task's name, a mapping as read from TOML, or a configuration.

    Raises:
        UserError: the configuration does not fit, the film is missing or damaged, or a split has no objects.
    """

    def __init__(self, spec: str | Mapping[str, Any] | SegmentationConfig) -> None:
        super().__init__(segmentation_config(spec))
        self._dataset = dataset(self.config.dataset)
        self._film = load_frames(self.config.dataset, search_frames(self.config, self._dataset.train_samples))
        train, validation = search_crops(self.config, self._film)
        self._low, self._high = np.percentile(train.images, (0.1, 99.9))
        self._pixels = torch.bincount(torch.from_numpy(train.labels).flatten(), minlength=len(self._dataset.classes))
        self._own = self._split(train), self._split(validation)
        self._redrawn = RecentDraws(self._drawn)

    @property
    def config(self) -> SegmentationConfig:
        """What defines the task."""
        return cast(SegmentationConfig, self._config)

    @property
    def slots(self) -> Mapping[str, Slot]:
        """One: logits and labels of all pixels."""
        return {"loss": Slot("dense", "cross_entropy")}

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The configured one first, then the others."""
        return {self.config.metric: METRICS[self.config.metric]} | METRICS

    def describe(self) -> str:
        """Network, data and sizes."""
        given = self.config
        share = float(self._pixels[1:].sum() / self._pixels.sum())
        return (
            f"{self.name}: U-Net on {given.dataset}, {given.train_size} training and {given.val_size} validation crops"
            f" of {given.crop}x{given.crop} pixels, {share:.1%} of the training pixels in objects"
        )

    def build_model(self) -> nn.Module:
        """A U-Net."""
        return UNet(self._dataset.image_shape[0], len(self._dataset.classes), self.config.channels)

    def draw(self, seed: int) -> tuple[Split, Split]:
        """Training and validation crops of a training with this seed."""
        return self._redrawn(seed) if self.config.resample else self._own

    def step(self, model: Model, batch: Batch) -> Iterable[Phase]:
        """Logits and labels of all pixels: `[batch, class, height, width]` and `[batch, height, width]`."""
        return (Phase({"loss": {"logits": model(batch["images"]), "target": batch["labels"]}}),)

    def measure(self, model: Model, parts: Iterable[Batch]) -> Mapping[str, Tensor]:
        """All metrics, of the pixels of all crops together."""
        total: dict[str, Tensor] = {}
        for part in parts:
            for name, value in counts(model(part["images"]), part["labels"]).items():
                total[name] = total[name] + value if name in total else value
        return {name: METRICS[name](total) for name in self.metrics}

    def judge(self, slot: str, inputs: Mapping[str, Tensor]) -> Tensor:
        """The metric follows from logits and labels alone."""
        return METRICS[self.config.metric](counts(inputs["logits"].unsqueeze(0), inputs["target"].unsqueeze(0)))[0]

    def buffers(self, slot: str) -> Mapping[str, Tensor]:
        """Class weights, inverse frequencies of the task's own training pixels, and how many a class has."""
        frequencies = self._pixels.double() / self._pixels.sum()
        return {"class_weight": inverse_frequencies(frequencies.tolist()), "class_count": self._pixels.float()}

    def test_split(self) -> Split:
        """Crops of frames that no training and no choice saw."""
        frames = test_frames(self.config, self._dataset.train_samples)
        return self._split(test_crops(self.config, load_frames(self.config.dataset, frames)))

    def _drawn(self, seed: int) -> tuple[Split, Split]:
        train, validation = search_crops(self.config, self._film, seed)
        return self._split(train), self._split(validation)

    def _split(self, crops: Crops) -> Split:
        middle, half = (self._high + self._low) / 2, max((self._high - self._low) / 2, 1e-12)
        images = (torch.from_numpy(crops.images).unsqueeze(1) - middle) / half
        return Split({"images": images, "labels": torch.from_numpy(crops.labels)})
