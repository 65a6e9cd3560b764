"""A task: data in splits, a model and a metric. What a loss is trained on and judged by."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from lossearch.errors import UserError
from lossearch.tasks.base import Rights, Slot
from lossearch.tasks.classification.config import TaskConfig, task_config
from lossearch.tasks.classification.metrics import LogitsMetric, metric
from lossearch.tasks.classification.splits import Part, search_parts, test_part
from lossearch.tasks.datasets.data import load
from lossearch.tasks.datasets.registry import dataset
from lossearch.tasks.seal import record_opening

DRAWN_BYTES = 256 * 2**20
"""Memory that the splits of recent seeds may take, where every seed draws its own."""


@dataclass(frozen=True)
class Split:
    """One split of a task.

    Attributes:
        images: `[sample, channel, height, width]`, float32, standardised by the training split's mean and
            deviation.
        labels: `[sample]`, int64.
    """

    images: Tensor
    labels: Tensor

    def __len__(self) -> int:
        return len(self.labels)


class TestSplit:
    """The test split while it is open; closed, it holds nothing and says so."""

    __test__ = False

    def __init__(self, split: Split) -> None:
        self._split: Split | None = split

    @property
    def images(self) -> Tensor:
        """`[sample, channel, height, width]`, as in `Split`."""
        return self._opened().images

    @property
    def labels(self) -> Tensor:
        """`[sample]`, int64."""
        return self._opened().labels

    def __len__(self) -> int:
        return len(self._opened())

    def _opened(self) -> Split:
        if self._split is None:
            raise UserError("an open test split", "one that was closed", "use it inside `with task.open_test(...)`")
        return self._split

    def _close(self) -> None:
        self._split = None


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


class ClassificationTask:
    """Train and validation splits, model and metric, built from a configuration.

    The test split is not an attribute, nor in memory: it is read anew by `open_test`, which records who
    opened it and refuses in a process that called `forbid_test_split`.

    Args:
        spec: a task's name, a mapping as read from TOML, or a configuration; see `task_config`.

    Attributes:
        config: the configuration.
        name: its name.
        train: training split, with noise and imbalance if the configuration asks for them.
        validation: validation split, clean. Where the configuration resamples, a training has its own two: see `draw`.
        classes: number of classes.
        image_shape: (channel, height, width).
        metric: what losses are judged by.

    Raises:
        UserError: the configuration does not fit, or the dataset is missing or damaged.
    """

    def __init__(self, spec: str | Mapping[str, Any] | TaskConfig) -> None:
        self.config = task_config(spec)
        self.name = self.config.name
        known = dataset(self.config.dataset)
        self.classes = len(known.classes)
        self.image_shape = known.image_shape
        self.metric: LogitsMetric = metric(self.config.metric)
        train, validation = search_parts(self.config, load(self.config.dataset))
        _check_size(self.config, train)
        self._statistics = _statistics(train, validation, self.classes)
        self.train = self._split(train)
        self.validation = self._split(validation)
        self._drawn: dict[int, tuple[Split, Split]] = {}

    @property
    def slots(self) -> Mapping[str, Slot]:
        """One: logits and labels."""
        return {"loss": Slot("dense", "cross_entropy")}

    @property
    def budget(self) -> int:
        """Optimiser steps of a full training."""
        return self.config.steps

    @property
    def base_learning_rate(self) -> float:
        """Of the optimiser, at the start of its schedule."""
        return self.config.learning_rate

    @property
    def rights(self) -> Rights:
        """All."""
        return Rights()

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

    def draw(self, seed: int) -> tuple[Split, Split]:
        """Training and validation split of a training with this seed.

        Those of the task itself, unless the configuration resamples. Standardised by the task's own training split.
        """
        if not self.config.resample:
            return self.train, self.validation
        found = self._drawn.pop(seed, None)
        if found is None:
            train, validation = search_parts(self.config, load(self.config.dataset), seed)
            found = self._split(train), self._split(validation)
        self._drawn[seed] = found  # the last asked for comes last
        kept = max(1, DRAWN_BYTES // sum(split.images.nbytes for split in found))
        while len(self._drawn) > kept:
            del self._drawn[next(iter(self._drawn))]
        return found

    def statistics(self) -> TaskStatistics:
        """Class frequencies and sizes, from the training split."""
        return self._statistics

    @contextmanager
    def open_test(self, by: str) -> Iterator[TestSplit]:
        """The test split, clean, for the length of a `with` block. Only a final comparison has a reason to.

        Args:
            by: who opens it, for the record: "compare".

        Raises:
            TestSplitSealed: this process called `forbid_test_split`.
            UserError: the dataset is missing or damaged.
        """
        record_opening(self.name, by)
        official = bool(dataset(self.config.dataset).test_samples)
        arrays = load(self.config.dataset, "test" if official else "train")
        split = TestSplit(self._split(test_part(self.config, arrays)))
        try:
            yield split
        finally:
            split._close()

    def _split(self, part: Part) -> Split:
        images = torch.from_numpy(part.images)
        images = (images - self._statistics.mean) / self._statistics.deviation
        return Split(images, torch.from_numpy(part.labels))

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
