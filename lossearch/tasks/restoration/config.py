"""Configurations of restoration tasks, and those that have names."""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lossearch.tasks import alexnet
from lossearch.tasks.base import Metric
from lossearch.tasks.datasets.data import is_available
from lossearch.tasks.datasets.dataset import LabelledImages
from lossearch.tasks.datasets.registry import datasets
from lossearch.tasks.restoration.degradations import DEGRADATIONS
from lossearch.tasks.restoration.metrics import METRICS, SMALLEST_SIDE
from lossearch.tasks.streams import MAX_SEED
from lossearch.tasks.training_config import TrainingConfig, check_batch, check_one_of, config_from


class RestorationConfig(TrainingConfig):
    """Everything that defines a restoration task. Equal configurations give equal splits, noise included.

    Attributes:
        family: "restoration".
        dataset: images; `lossearch data ls` lists them.
        degradation: "gaussian_noise", "impulse_noise" (pixels of any colour), "low_resolution", "holes" (a square is
            gone) or "haze" (atmospheric scattering model with a made-up depth).
        strength: of noise its standard deviation, where images lie in [0, 1]; of impulses the share of the pixels; of
            low resolution how many pixels along each axis become one; of holes the share of each side; of haze the
            largest thickness.
        wrong_targets: share of the pixels of each training target that have any other colour, in [0, 1), as where
            nobody has clean images. Validation and test targets are clean.
        terms: the slots of the training step, whose losses are added: "pixel" and "structure", which are given images,
            and "perceptual", which is given features of AlexNet.
        channels: of the network's convolutions.
        layers: its convolutions but the first and the last.
        train_size: training images.
        val_size: validation images.
        test_size: test images, of the official test part where there is one.
        split_seed: draws splits and what degrades images; not the runs' weights and order, which have seeds of their
            own.
        resample: whether every training draws its own training and validation images by its seed.
        metric: what losses are judged by: "psnr", "ssim" or "lpips", a distance of features.
    """

    family: Literal["restoration"] = "restoration"
    dataset: str
    degradation: Literal["gaussian_noise", "impulse_noise", "low_resolution", "holes", "haze"]
    strength: float = Field(gt=0.0)
    wrong_targets: float = Field(default=0.0, ge=0.0, lt=1.0)
    terms: Annotated[tuple[Literal["pixel", "structure", "perceptual"], ...], Field(min_length=1)] = ("pixel",)
    channels: int = Field(default=16, ge=1)
    layers: int = Field(default=2, ge=0)
    train_size: int = Field(ge=1)
    val_size: int = Field(ge=1)
    test_size: int = Field(ge=1)
    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    resample: bool = False
    metric: str = "psnr"

    @property
    def needs_alexnet(self) -> bool:
        """Whether features of AlexNet are a term of the loss or the metric."""
        return "perceptual" in self.terms or self.metric == "lpips"

    @property
    def together(self) -> int:
        """How many images are cut out of one photograph."""
        images = _images(self.dataset)
        return images.per_class if images.tiles else 1

    def photographs(self, size: int) -> int:
        """How many photographs it takes for so many validation or test images."""
        return math.ceil(size / self.together)

    def ranking_metric(self) -> Metric:
        """What losses are ranked by."""
        return METRICS[self.metric]

    def is_available(self) -> bool:
        """Whether the images are on disk, and the features where they are needed."""
        return is_available(self.dataset) and (not self.needs_alexnet or is_available(alexnet.DATASET))

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        known = [name for name, one in datasets().items() if isinstance(one, LabelledImages)]
        check_one_of("dataset", self.dataset, known)
        check_one_of("metric", self.metric, METRICS)
        images = _images(self.dataset)
        what, least = ("AlexNet", alexnet.SMALLEST_SIDE) if self.needs_alexnet else ("SSIM", SMALLEST_SIDE)
        if min(images.image_shape[1:]) < least:
            sides = "x".join(map(str, images.image_shape[1:]))
            raise ValueError(f"images of {self.dataset} are {sides}: {what} needs {least} pixels a side")
        held = self.photographs(self.val_size) + (0 if images.test_samples else self.photographs(self.test_size))
        left = images.train_samples - held * self.together
        if self.train_size > left:
            raise ValueError(f"train_size {self.train_size} exceeds the {max(left, 0)} images that are left")
        if images.test_samples and self.test_size > images.test_samples:
            raise ValueError(f"test_size {self.test_size} exceeds the {images.test_samples} official test images")
        if len(set(self.terms)) < len(self.terms):
            raise ValueError(f"terms {', '.join(self.terms)} name a slot twice")
        self._check_strength(images.image_shape[1:])
        check_batch(self.batch_size, self.train_size)
        return self

    def _check_strength(self, sides: tuple[int, ...]) -> None:
        kind = DEGRADATIONS[self.degradation]
        if self.strength > kind.largest:
            raise ValueError(
                f"strength {self.strength} of {self.degradation} ({kind.strength}) exceeds {kind.largest:g}"
            )
        if self.degradation == "low_resolution" and (self.strength < 2 or any(side % self.strength for side in sides)):
            raise ValueError(
                f"strength {self.strength} of low_resolution must be a whole number from 2 on that divides"
                f" {' and '.join(map(str, sides))}"
            )


def _images(name: str) -> LabelledImages:
    found = datasets()[name]
    assert isinstance(found, LabelledImages)
    return found


# All train in about a second on one core. There are so many pixels that one draw of images serves all trainings.
_SMALL: dict[str, Any] = {
    "dataset": "cifar10",
    "train_size": 1000,
    "val_size": 300,
    "test_size": 1000,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "batch_size": 8,
    "steps": 200,
}
_NOISE: dict[str, Any] = _SMALL | {"degradation": "gaussian_noise", "strength": 0.1, "layers": 1}

NAMED: Mapping[str, Mapping[str, Any]] = {
    "denoise": _NOISE,
    "denoise_perceptual": _NOISE | {"terms": ["pixel", "perceptual"], "slot": "perceptual", "metric": "lpips"},
    "denoise_wrong_targets": _NOISE | {"wrong_targets": 0.3},
    "denoise_photographs": _NOISE | {"dataset": "photographs", "train_size": 288, "val_size": 96, "test_size": 96},
    "denoise_impulses": _SMALL | {"degradation": "impulse_noise", "strength": 0.3},
    "super_resolution": _SMALL | {"degradation": "low_resolution", "strength": 2, "layers": 1, "learning_rate": 0.003},
    # With clean targets what is known around a gap leaves losses little to differ in.
    "inpaint_wrong_targets": _SMALL
    | {"degradation": "holes", "strength": 0.25, "wrong_targets": 0.3, "layers": 3, "learning_rate": 0.003},
    "dehaze": _SMALL | {"degradation": "haze", "strength": 1.8, "layers": 3, "learning_rate": 0.003},
}
"""Values of named tasks, in listing order."""


def restoration_config(spec: str | Mapping[str, Any] | RestorationConfig) -> RestorationConfig:
    """The configuration of a restoration task that `spec` means, see `config_from`."""
    return config_from(spec, RestorationConfig, NAMED, lambda path: list(RestorationConfig.model_fields))
