"""A task: data in splits, a model and a metric. What a loss is trained on and judged by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, cast

import torch
from torch import Tensor, nn

from lossearch.errors import UserError
from lossearch.tasks import described
from lossearch.tasks.classification.config import TaskConfig, task_config
from lossearch.tasks.classification.labelled import LabelledTask
from lossearch.tasks.classification.splits import Part, search_parts, test_part
from lossearch.tasks.classification.statistics import measured_facts
from lossearch.tasks.datasets.data import load
from lossearch.tasks.datasets.dataset import LabelledImages
from lossearch.tasks.datasets.registry import dataset
from lossearch.tasks.described import RecentDraws


class _LabelledImages(described.Split):
    """Names of the tensors of a split."""

    @property
    def images(self) -> Tensor:
        """`[sample, channel, height, width]`, float32, standardised by the training split's mean and deviation."""
        return self.tensors["images"]

    @property
    def labels(self) -> Tensor:
        """`[sample]`, int64."""
        return self.tensors["labels"]


class ImageSplit(_LabelledImages):
    """One split of a task.

    Args:
        images: `[sample, channel, height, width]`, float32.
        labels: `[sample]`, int64.
    """

    def __init__(self, images: Tensor, labels: Tensor) -> None:
        super().__init__({"images": images, "labels": labels})


class ImageTestSplit(_LabelledImages, described.TestSplit):
    """The test split while it is open; closed, it holds nothing and says so."""


@dataclass(frozen=True)
class TaskStatistics:
    """What may be known of a task without looking at validation labels or test data.

    Attributes:
        class_frequencies: fraction of training labels (as given, noise included) in each class; they sum to
            one.
        train_size: training images, after imbalance.
        val_size: validation images.
        classes: number of classes.
        noise_rate: fraction of training labels that are wrong.
        mean: of all training pixels, before standardisation.
        deviation: standard deviation of all training pixels, before standardisation.
    """

    class_frequencies: tuple[float, ...]
    train_size: int
    val_size: int
    classes: int
    noise_rate: float
    mean: float
    deviation: float


class ClassificationTask(LabelledTask):
    """Train and validation splits, model and metric, built from a configuration.

    The test split is not an attribute, nor in memory: it is read anew by `open_test`, which records who
    opened it and refuses in a process that called `forbid_test_split`.

    Args:
        spec: a task's name, a mapping as read from TOML, or a configuration; see `task_config`.

    Attributes:
        train: training split, with noise and imbalance if the configuration asks for them.
        validation: validation split, clean. Where the configuration resamples, a training has its own two: see `draw`.
        classes: number of classes.
        image_shape: (channel, height, width).

    Raises:
        UserError: the configuration does not fit, or the dataset is missing or damaged.
    """

    def __init__(self, spec: str | Mapping[str, Any] | TaskConfig) -> None:
        super().__init__(task_config(spec))
        known = dataset(self.config.dataset)
        assert isinstance(known, LabelledImages)  # the configuration admits no others
        self.classes = len(known.classes)
        self.image_shape = known.image_shape
        train, validation = search_parts(self.config, load(self.config.dataset))
        _check_size(self.config, train)
        self._statistics = _statistics(train, validation, self.classes)
        self.train = self._split(train)
        self.validation = self._split(validation)
        self._drawn = RecentDraws(self._redrawn)

    @property
    def config(self) -> TaskConfig:
        """What defines the task."""
        return cast(TaskConfig, self._config)

    def class_counts(self) -> Sequence[int]:
        """Of the task's own training split."""
        size = self._statistics.train_size
        return [round(frequency * size) for frequency in self._statistics.class_frequencies]

    def describe(self) -> str:
        """Network, data and sizes."""
        sizes = self._statistics
        return (
            f"{self.name}: {self.config.model.name} on {self.config.dataset}, {sizes.train_size} training and"
            f" {sizes.val_size} validation images, {sizes.classes} classes, {sizes.noise_rate:.0%} wrong labels"
        )

    def build_model(self) -> nn.Module:
        """A model of the task's architecture, initialised from torch's global generator.

        Raises:
            UserError: the architecture does not fit the images.
        """
        return self.config.model.build(self.image_shape, self.classes)

    def draw(self, seed: int) -> tuple[ImageSplit, ImageSplit]:
        """Training and validation split of a training with this seed.

        Those of the task itself, unless the configuration resamples. Standardised by the task's own training split.
        """
        if not self.config.resample:
            return self.train, self.validation
        return cast(tuple[ImageSplit, ImageSplit], self._drawn(seed))

    def statistics(self) -> TaskStatistics:
        """Class frequencies and sizes, from the training split."""
        return self._statistics

    def facts(self) -> Mapping[str, Any]:
        """Class frequencies and an estimate of label noise, of the training split; metric and network as configured."""
        measured = measured_facts(self.train.images, self.train.labels, self.classes)
        return {**measured, "metric": self.config.metric, "architecture": self.config.model.name}

    def test_split(self) -> ImageSplit:
        """Clean images and labels, as `test_part` cuts them."""
        official = bool(dataset(self.config.dataset).test_samples)
        arrays = load(self.config.dataset, "test" if official else "train")
        return self._split(test_part(self.config, arrays))

    @contextmanager
    def open_test(self, by: str) -> Iterator[ImageTestSplit]:
        """As of every described task: clean images and labels, for the length of a `with` block."""
        with super().open_test(by) as split:
            yield cast(ImageTestSplit, split)

    def _opened(self, split: described.Split) -> ImageTestSplit:
        return ImageTestSplit(split.tensors)

    def _redrawn(self, seed: int) -> tuple[ImageSplit, ImageSplit]:
        train, validation = search_parts(self.config, load(self.config.dataset), seed)
        return self._split(train), self._split(validation)

    def _split(self, part: Part) -> ImageSplit:
        images = torch.from_numpy(part.images)
        images = (images - self._statistics.mean) / self._statistics.deviation
        return ImageSplit(images, torch.from_numpy(part.labels))

    def __repr__(self) -> str:
        return f"ClassificationTask({self.name!r}, train={len(self.train)}, validation={len(self.validation)})"


def _check_size(config: TaskConfig, train: Part) -> None:
    if len(train.labels) < config.batch_size:
        raise UserError(
            f"at least one batch of {config.batch_size} training images",
            f"{len(train.labels)} after imbalance {config.imbalance:g}",
            "raise train_size or lower imbalance or batch_size",
        )


def _statistics(train: Part, validation: Part, classes: int) -> TaskStatistics:
    labels = torch.from_numpy(train.labels)
    frequencies = torch.bincount(labels, minlength=classes).double() / len(labels)
    return TaskStatistics(
        class_frequencies=tuple(frequencies.tolist()),
        train_size=len(labels),
        val_size=len(validation.labels),
        classes=classes,
        noise_rate=float((train.labels != train.clean_labels).mean()),
        mean=float(train.images.mean()),
        deviation=float(train.images.std()),
    )
