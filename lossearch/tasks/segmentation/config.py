"""Configurations of segmentation tasks, and those that have names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lossearch.tasks.base import Metric
from lossearch.tasks.datasets.data import is_available
from lossearch.tasks.datasets.dataset import Frames
from lossearch.tasks.datasets.registry import datasets
from lossearch.tasks.segmentation.metrics import METRICS
from lossearch.tasks.streams import MAX_SEED
from lossearch.tasks.training_config import TrainingConfig, check_batch, check_one_of, config_from


class SegmentationConfig(TrainingConfig):
    """Everything that defines a segmentation task. Equal configurations give equal splits.

    Splits share no frame. Since a frame looks like the next, they follow each other in time, training, validation and
    test, with a frame left out in between.

    Attributes:
        family: "segmentation".
        dataset: a film; `lossearch data ls` lists them.
        channels: of a U-Net at each of its resolutions, from full to lowest.
        crop: side of the squares that are cut out of frames, pixels.
        train_size: training crops, from anywhere in the training frames.
        val_size: validation crops, out of tiles that do not overlap.
        test_size: test crops, out of tiles that do not overlap.
        val_frames: frames that validation crops come from.
        test_frames: frames that test crops come from.
        objects: fraction of the training crops that have an object at their middle, in [0, 1] (Isensee et al. 2021);
            the others lie anywhere.
        missing: fraction of the objects of each training frame that its mask lacks, in [0, 1), as where people did
            not mark all that they saw. Validation and test masks keep theirs.
        split_seed: draws splits; not the runs' weights and order, which have seeds of their own.
        resample: whether every training draws its own crops for training and validation by its seed.
        metric: what losses are judged by: "mean_iou", "dice" or "boundary_f1".
    """

    name: str = "custom"
    family: Literal["segmentation"] = "segmentation"
    dataset: str
    channels: tuple[Annotated[int, Field(ge=1)], ...] = (8, 16, 16)
    crop: int = Field(default=48, ge=1)
    train_size: int = Field(ge=1)
    val_size: int = Field(ge=1)
    test_size: int = Field(ge=1)
    val_frames: int = Field(default=3, ge=1)
    test_frames: int = Field(default=5, ge=1)
    objects: float = Field(default=0.0, ge=0.0, le=1.0)
    missing: float = Field(default=0.0, ge=0.0, lt=1.0)
    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    resample: bool = False
    metric: str = "mean_iou"

    @property
    def classes(self) -> int:
        """Those of the data set."""
        return len(datasets()[self.dataset].classes)

    def ranking_metric(self) -> Metric:
        """What losses are ranked by."""
        return METRICS[self.metric]

    def is_available(self) -> bool:
        """Whether the film is on disk."""
        return is_available(self.dataset)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        # Of several depths neighbouring frames are of one time, so that splits by frame would share it.
        films = {name: one for name, one in datasets().items() if isinstance(one, Frames) and one.depths == 1}
        check_one_of("dataset", self.dataset, films)
        check_one_of("metric", self.metric, METRICS)
        frames, (_, height, width) = films[self.dataset].train_samples, films[self.dataset].image_shape
        needed = self.test_frames + self.val_frames + 3  # two that are left out, and one to train on
        if needed > frames:
            raise ValueError(
                f"{self.val_frames} + {self.test_frames} frames for validation and test, and 3 more, are"
                f" more than the {frames} of the film"
            )
        if not self.channels:
            raise ValueError("channels of at least one resolution are needed")
        smallest = 2 ** (len(self.channels) - 1)
        if not smallest <= self.crop <= min(height, width):
            raise ValueError(
                f"crop is {self.crop}, must be from {smallest}, for {len(self.channels)} resolutions, to"
                f" {min(height, width)}, the smaller side of a frame"
            )
        tiles = (height // self.crop) * (width // self.crop)
        for field, size, held in (
            ("val_size", self.val_size, self.val_frames),
            ("test_size", self.test_size, self.test_frames),
        ):
            if size > held * tiles:
                raise ValueError(f"{field} {size} exceeds the {held * tiles} tiles of {held} frames")
        check_batch(self.batch_size, self.train_size)
        return self


# All train in a few seconds on one core. Of the tiles of the validation frames every training draws half. Bacteria
# fill a few thousandths of the frames: without some crops around them trainings differ by whether they saw any.
_FILM: dict[str, Any] = {
    "train_size": 512,
    "val_size": 450,
    "test_size": 900,
    "resample": True,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "batch_size": 8,
    "steps": 120,
}

NAMED: Mapping[str, Mapping[str, Any]] = {
    "hela": _FILM | {"dataset": "hela"},
    "hela_missing": _FILM | {"dataset": "hela", "missing": 0.5},
    "bacteria": _FILM | {"dataset": "bacteria", "objects": 0.1},
}
"""Values of named tasks, in listing order."""


def segmentation_config(spec: str | Mapping[str, Any] | SegmentationConfig) -> SegmentationConfig:
    """The configuration of a segmentation task that `spec` means, see `config_from`."""
    return config_from(spec, SegmentationConfig, NAMED, lambda path: list(SegmentationConfig.model_fields))
