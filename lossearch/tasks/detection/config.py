"""Configurations of detection tasks, and those that have names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lossearch.tasks.base import Metric
from lossearch.tasks.detection.metrics import METRICS
from lossearch.tasks.detection.scenes import CLASSES
from lossearch.tasks.streams import MAX_SEED
from lossearch.tasks.training_config import TrainingConfig, check_batch, check_one_of, config_from


class DetectionConfig(TrainingConfig):
    """Everything that defines a detection task. Equal configurations give equal scenes.

    Attributes:
        family: "detection".
        channels: of each convolution but the last; there are four in all.
        train_size: training scenes.
        val_size: validation scenes.
        test_size: test scenes.
        split_seed: draws which digits belong to which part, and the scenes; not the runs' weights and order.
        resample: whether every training draws its own training and validation scenes by its seed.
        metric: what losses are judged by: "detection_f1", "mean_iou_of_boxes" or "cell_accuracy".
    """

    family: Literal["detection"] = "detection"
    channels: tuple[Annotated[int, Field(ge=1)], ...] = (16, 32, 64)
    train_size: int = Field(ge=1)
    val_size: int = Field(ge=1)
    test_size: int = Field(ge=1)
    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    resample: bool = True
    metric: str = "detection_f1"

    @property
    def classes(self) -> int:
        """The digits, and the background."""
        return CLASSES

    def ranking_metric(self) -> Metric:
        """What losses are ranked by."""
        return METRICS[self.metric]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        check_one_of("metric", self.metric, METRICS)
        if len(self.channels) != 3:
            raise ValueError(f"channels are of three convolutions, not of {len(self.channels)}")
        check_batch(self.batch_size, self.train_size)
        return self


_SCENES: dict[str, Any] = {
    "train_size": 1000,
    "val_size": 300,
    "test_size": 500,
    "optimizer": "adam",
    "batch_size": 50,
    "steps": 600,
    "learning_rate": 0.01,
}

NAMED: Mapping[str, Mapping[str, Any]] = {
    "digit_scenes_class": _SCENES | {"slot": "classification"},
    "digit_scenes_box": _SCENES | {"slot": "box"},
    "digit_scenes": _SCENES | {"slot": ["classification", "box"]},
}
"""Values of named tasks, in listing order: the same detector, of which one slot is searched or both are."""


def detection_config(spec: str | Mapping[str, Any] | DetectionConfig) -> DetectionConfig:
    """The configuration of a detection task that `spec` means, see `config_from`."""
    return config_from(spec, DetectionConfig, NAMED, lambda path: list(DetectionConfig.model_fields))
