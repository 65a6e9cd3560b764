"""Configurations of metric learning tasks, and those that have names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

import numpy as np
from pydantic import Field, model_validator

from lossearch.tasks.base import Metric
from lossearch.tasks.datasets.data import is_available
from lossearch.tasks.datasets.dataset import LabelledImages
from lossearch.tasks.datasets.registry import datasets
from lossearch.tasks.metric_learning.metrics import METRICS
from lossearch.tasks.streams import MAX_SEED
from lossearch.tasks.training_config import TrainingConfig, check_one_of, config_from


class MetricLearningConfig(TrainingConfig):
    """Everything that defines a metric learning task. Equal configurations give equal splits.

    No class, such as a person, is in two of the splits: what is measured is whether embeddings tell classes apart that
    no training saw.

    Attributes:
        family: "metric_learning".
        dataset: labelled images with as many of every class; `lossearch data ls` lists them.
        given: what the loss is given: "embeddings" with labels, or "cosines" of embeddings and learned class centres.
        channels: of each convolution.
        features: of an embedding.
        shrink: side of the squares of pixels of which each becomes one, their mean.
        train_classes: classes of the training samples.
        val_classes: classes of the validation samples.
        test_classes: classes of the test samples.
        train_per_class: training samples of each class.
        held_per_class: validation and test samples of each of their classes.
        lighting: how strongly each image is lit from a side of its own, see `disturbed`; 0 leaves it as it is.
        shift: pixels, after shrinking, by which each image is moved at most along each axis.
        copies: of each training sample, each lit and moved by itself.
        mislabelled: fraction of the training samples that are exchanged among each other, in [0, 1): nearly all of them
            then have the label of another class.
        together: samples of a class in a batch, which has batch_size / together classes.
        split_seed: draws splits; not the runs' weights and order, which have seeds of their own.
        resample: whether every training draws its own training and validation classes by its seed, from all that are
            not test.
        metric: what losses are judged by: "recall_at_1", "map_at_r" or "tar_at_far".
    """

    family: Literal["metric_learning"] = "metric_learning"
    dataset: str
    given: Literal["embeddings", "cosines"] = "embeddings"
    channels: tuple[Annotated[int, Field(ge=1)], ...] = (16, 32)
    features: int = Field(default=32, ge=1)
    shrink: int = Field(default=1, ge=1)
    train_classes: int = Field(ge=2)
    val_classes: int = Field(ge=2)
    test_classes: int = Field(ge=2)
    train_per_class: int = Field(ge=2)
    held_per_class: int = Field(ge=2)
    lighting: float = Field(default=0.0, ge=0.0, le=10.0)
    shift: int = Field(default=0, ge=0, le=1000)
    copies: int = Field(default=1, ge=1)
    mislabelled: float = Field(default=0.0, ge=0.0, lt=1.0)
    together: int = Field(default=4, ge=2)
    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    resample: bool = False
    metric: str = "recall_at_1"

    def ranking_metric(self) -> Metric:
        """What losses are ranked by."""
        return METRICS[self.metric]

    def is_available(self) -> bool:
        """Whether the data set is on disk."""
        return is_available(self.dataset)

    @property
    def classes(self) -> int | None:
        """Class centres of a margin head; embeddings know none."""
        return self.train_classes if self.given == "cosines" else None

    @property
    def train_size(self) -> int:
        """Training samples."""
        return self.train_classes * self.train_per_class * self.copies

    @property
    def val_size(self) -> int:
        """Validation samples."""
        return self.val_classes * self.held_per_class

    @property
    def classes_in_batch(self) -> int:
        """Of which there are `together` samples each."""
        return self.batch_size // self.together

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        known = {name: one for name, one in datasets().items() if isinstance(one, LabelledImages) and one.per_class}
        check_one_of("dataset", self.dataset, known)
        check_one_of("metric", self.metric, METRICS)
        dataset = known[self.dataset]
        wanted = self.train_classes + self.val_classes + self.test_classes
        if wanted > len(dataset.classes):
            raise ValueError(
                f"{wanted} classes for train, validation and test are more than the {len(dataset.classes)} of"
                f" dataset {self.dataset!r}"
            )
        for name in ("train_per_class", "held_per_class"):
            if getattr(self, name) > dataset.per_class:
                raise ValueError(f"{name} {getattr(self, name)} exceeds the {dataset.per_class} of a class")
        if np.min(dataset.image_shape[1:]) < self.shrink:
            raise ValueError(f"shrink {self.shrink} exceeds a side of images of {dataset.image_shape[1:]}")
        for value, name, by, of in (
            (self.batch_size, "batch_size", self.together, "together"),
            (self.train_per_class * self.copies, "train_per_class * copies", self.together, "together"),
            (self.train_classes, "train_classes", max(1, self.classes_in_batch), "batch_size / together"),
        ):
            if value % by:
                raise ValueError(f"{name} is {value}, must be a multiple of {of}, {by}")
        if self.classes_in_batch < 2:
            raise ValueError(f"batch_size is {self.batch_size}, must be at least twice together, {self.together}")
        return self


# All train in about a second on one core. Every training draws its own classes from those that are not test: which are
# trained on, and which are told apart, moves the metric more than all else, and a mean over seeds is then one over
# classes. Sketches say as much at half their resolution, faces at a quarter.
_TRAINED: dict[str, Any] = {
    "channels": [16, 32],
    "features": 32,
    "resample": True,
    "optimizer": "adam",
    "learning_rate": 0.003,
}
_SKETCHES: dict[str, Any] = _TRAINED | {
    "dataset": "quickdraw",
    "shrink": 2,
    "train_classes": 128,
    "val_classes": 100,
    "test_classes": 100,
    "train_per_class": 40,
    "held_per_class": 20,
    "batch_size": 64,
    "steps": 300,
}
# There are few people: the more of them are told apart, the less a metric depends on who they are. As they were taken
# the photographs of one person are so much alike that an untrained network finds 93 % of them, and no loss does better
# by more than the noise: so each is lit from a side of its own, and moved.
_FACES: dict[str, Any] = _TRAINED | {
    "dataset": "orl_faces",
    "lighting": 0.8,
    "shift": 2,
    "copies": 4,
    "shrink": 4,
    "train_classes": 12,
    "val_classes": 18,
    "test_classes": 10,
    "train_per_class": 8,
    "held_per_class": 10,
    "batch_size": 24,
    "steps": 300,
    "metric": "map_at_r",
}

NAMED: Mapping[str, Mapping[str, Any]] = {
    "sketches": _SKETCHES,
    "faces": _FACES,
    # Margin heads differ by less than who is trained on: one set of people for all trainings.
    "faces_margin": _FACES | {"given": "cosines", "resample": False},
}
"""Values of named tasks, in listing order."""


def metric_learning_config(spec: str | Mapping[str, Any] | MetricLearningConfig) -> MetricLearningConfig:
    """The configuration of a metric learning task that `spec` means, see `config_from`."""
    return config_from(spec, MetricLearningConfig, NAMED, lambda path: list(MetricLearningConfig.model_fields))
