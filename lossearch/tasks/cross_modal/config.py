"""Configurations of cross-modal tasks, and those that have names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lossearch.tasks.base import Metric
from lossearch.tasks.cross_modal.metrics import METRICS
from lossearch.tasks.datasets.data import is_available
from lossearch.tasks.datasets.dataset import NamedImages
from lossearch.tasks.datasets.registry import datasets
from lossearch.tasks.streams import MAX_SEED
from lossearch.tasks.training_config import TrainingConfig, check_batch, check_one_of, config_from


class CrossModalConfig(TrainingConfig):
    """Everything that defines a cross-modal task. Equal configurations give equal splits.

    Pictures whose names differ in no more than who it is ("man", "woman") are in one split.

    Attributes:
        family: "cross_modal".
        dataset: images with names; `lossearch data ls` lists them.
        channels: of each convolution.
        features: of an embedding.
        columns: that the parts of names are hashed to.
        shrink: side of the squares of pixels of which each becomes one, their mean.
        train_size: training pictures.
        val_size: validation pictures, among which partners are looked for.
        test_size: test pictures, the same.
        split_seed: draws splits; not the runs' weights and order, which have seeds of their own.
        resample: whether every training draws its own training and validation pictures by its seed, from all that are
            not test.
        metric: what losses are judged by: "recall_at_5" or "recall_at_1", means of both directions, or of one
            direction "names_at_5", "names_at_1", "pictures_at_5" or "pictures_at_1".
    """

    family: Literal["cross_modal"] = "cross_modal"
    dataset: str
    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (16, 32)
    features: int = Field(default=32, ge=1)
    columns: int = Field(default=1024, ge=1)
    shrink: int = Field(default=1, ge=1)
    train_size: int = Field(ge=2)
    val_size: int = Field(ge=6)
    test_size: int = Field(ge=6)
    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    resample: bool = False
    metric: str = "recall_at_5"

    def ranking_metric(self) -> Metric:
        """What losses are ranked by."""
        return METRICS[self.metric]

    def is_available(self) -> bool:
        """Whether the files of the data set are on disk."""
        return is_available(self.dataset)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        known = {name: one for name, one in datasets().items() if isinstance(one, NamedImages)}
        check_one_of("dataset", self.dataset, known)
        check_one_of("metric", self.metric, METRICS)
        dataset = known[self.dataset]
        wanted = self.train_size + self.val_size + self.test_size
        if wanted > dataset.train_samples:
            raise ValueError(
                f"{wanted} pictures for train, validation and test are more than the {dataset.train_samples} of dataset"
                f" {self.dataset!r}"
            )
        if min(dataset.image_shape[1:]) < self.shrink:
            raise ValueError(f"shrink {self.shrink} exceeds a side of images of {dataset.image_shape[1:]}")
        check_batch(self.batch_size, self.train_size)
        return self


NAMED: Mapping[str, Mapping[str, Any]] = {
    "emoji_names": {
        "dataset": "emoji",
        "shrink": 2,
        "train_size": 900,
        "val_size": 350,
        "test_size": 350,
        "resample": True,
        "optimizer": "adam",
        "learning_rate": 0.003,
        "batch_size": 128,
        "steps": 150,
    }
}
"""Values of named tasks, in listing order."""


def cross_modal_config(spec: str | Mapping[str, Any] | CrossModalConfig) -> CrossModalConfig:
    """The configuration of a cross-modal task that `spec` means, see `config_from`."""
    return config_from(spec, CrossModalConfig, NAMED, lambda path: list(CrossModalConfig.model_fields))
