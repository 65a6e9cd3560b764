"""Configurations of self-supervised tasks, and those that have names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lossearch.tasks.base import Metric
from lossearch.tasks.classification.sizes import check_sizes
from lossearch.tasks.datasets.data import is_available
from lossearch.tasks.datasets.dataset import LabelledImages
from lossearch.tasks.datasets.registry import datasets
from lossearch.tasks.self_supervised.metrics import METRICS
from lossearch.tasks.self_supervised.views import Distortion
from lossearch.tasks.streams import MAX_SEED
from lossearch.tasks.training_config import TrainingConfig, check_batch, check_one_of, config_from


class SelfSupervisedConfig(TrainingConfig):
    """Everything that defines a self-supervised task. Equal configurations give equal splits and views.

    Training sees no label. Validation and test images have labels: simple classifiers of the features are fitted to
    some of them and judged by the others.

    Attributes:
        family: "self_supervised".
        dataset: labelled images; `lossearch data ls` lists them.
        given: what the loss is given of each image's two views: "views" (`first` and `second`), or "positives"
            (`anchor` and `positive`), whose negatives are all other views of the batch.
        channels: of each convolution.
        features: how many are judged.
        projection: features that the loss is given, made of them by a linear layer.
        shrink: side of the squares of pixels of which each becomes one, their mean.
        train_size: training images, drawn stratified.
        val_size: validation images.
        test_size: test images; without it the whole official test split.
        probe_size: of the validation and of the test images, those that classifiers are fitted to.
        copies: pairs of views of each training image; no batch has two of one image.
        turn: degrees by which a view is turned at most.
        zoom: logarithm of the factor by which it is larger or smaller at most.
        shift: share of the image's side by which it is moved at most along each axis.
        contrast: logarithm of the factor by which its values are stretched at most.
        hidden: share of the image's side that a square has which is hidden; 0 hides nothing.
        split_seed: draws splits and views; not the runs' weights and order, which have seeds of their own.
        resample: whether every training draws its own training and validation images, and views, by its seed, from all
            that are not test.
        metric: what losses are judged by: "probe_accuracy" or "neighbour_accuracy".
    """

    family: Literal["self_supervised"] = "self_supervised"
    dataset: str
    given: Literal["views", "positives"] = "views"
    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (16, 32)
    features: int = Field(default=64, ge=1)
    projection: int = Field(default=32, ge=1)
    shrink: int = Field(default=1, ge=1)
    train_size: int = Field(ge=2)
    val_size: int = Field(ge=2)
    test_size: int | None = Field(default=None, ge=2)
    probe_size: int = Field(ge=1)
    copies: int = Field(default=1, ge=1)
    turn: float = Field(default=0.0, ge=0.0, le=180.0)
    zoom: float = Field(default=0.0, ge=0.0, le=3.0)
    shift: float = Field(default=0.0, ge=0.0, le=1.0)
    contrast: float = Field(default=0.0, ge=0.0, le=3.0)
    hidden: float = Field(default=0.0, ge=0.0, le=1.0)
    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    resample: bool = False
    metric: str = "probe_accuracy"

    @property
    def distortion(self) -> Distortion:
        """How much views differ from their image."""
        return Distortion(self.turn, self.zoom, self.shift, self.contrast, self.hidden)

    def ranking_metric(self) -> Metric:
        """What losses are ranked by."""
        return METRICS[self.metric]

    def is_available(self) -> bool:
        """Whether the files of the data set are on disk."""
        return is_available(self.dataset)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        known = {name: one for name, one in datasets().items() if isinstance(one, LabelledImages)}
        check_one_of("dataset", self.dataset, known)
        check_one_of("metric", self.metric, METRICS)
        dataset = known[self.dataset]
        check_sizes(self, dataset)
        smallest = min(self.val_size, self.test_size or dataset.test_samples)
        if self.probe_size >= smallest:
            raise ValueError(f"probe_size {self.probe_size} leaves none of {smallest} images to judge by")
        if min(dataset.image_shape[1:]) < self.shrink:
            raise ValueError(f"shrink {self.shrink} exceeds a side of images of {dataset.image_shape[1:]}")
        check_batch(self.batch_size, self.train_size)
        if self.train_size % self.batch_size:
            raise ValueError(f"train_size is {self.train_size}, must be a multiple of batch_size, {self.batch_size}")
        return self


# Every training draws its own images from those that are not test, and its own labelled ones to fit classifiers to: few
# of them, as that is what such features are for. Neighbours tell losses apart better than a linear probe.
_DIGITS: dict[str, Any] = {
    "dataset": "digits",
    "train_size": 640,
    "val_size": 600,
    "test_size": 557,
    "probe_size": 150,
    "copies": 8,
    "turn": 15.0,
    "zoom": 0.2,
    "shift": 0.15,
    "contrast": 0.4,
    "hidden": 0.3,
    "resample": True,
    "optimizer": "adam",
    "learning_rate": 0.003,
    "batch_size": 128,
    "steps": 200,
    "metric": "neighbour_accuracy",
}

NAMED: Mapping[str, Mapping[str, Any]] = {
    "digits_views": _DIGITS,
    "digits_positives": _DIGITS | {"given": "positives"},
}
"""Values of named tasks, in listing order."""


def self_supervised_config(spec: str | Mapping[str, Any] | SelfSupervisedConfig) -> SelfSupervisedConfig:
    """The configuration of a self-supervised task that `spec` means, see `config_from`."""
    return config_from(spec, SelfSupervisedConfig, NAMED, lambda path: list(SelfSupervisedConfig.model_fields))
