"""Configurations of generation tasks, and those that have names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lossearch.tasks.base import Metric
from lossearch.tasks.classification.sizes import check_sizes
from lossearch.tasks.datasets.data import is_available
from lossearch.tasks.datasets.dataset import LabelledImages
from lossearch.tasks.datasets.registry import datasets
from lossearch.tasks.generation.metrics import METRICS, NEIGHBOURS
from lossearch.tasks.streams import MAX_SEED
from lossearch.tasks.training_config import TrainingConfig, check_batch, check_one_of, config_from


class GenerationConfig(TrainingConfig):
    """Everything that defines a generation task. Equal configurations give equal splits and random numbers.

    Networks are told the class of what they generate. One draw of images serves all trainings.

    Attributes:
        family: "generation".
        dataset: labelled images; `lossearch data ls` lists them.
        kind: "diffusion" (slot `noise`), "adversarial" (slots `discriminator` and `generator`) or "autoencoder" (slots
            `reconstruction` and `prior`).
        hidden: widths of the hidden layers of each network.
        latent: numbers that an image is generated from, of adversarial training and autoencoders.
        sampling_steps: of the denoiser for each image that is judged, of diffusion.
        shrink: side of the squares of pixels of which each becomes one, their mean.
        copies: of each training image, each with noise of its own.
        train_size: training images, drawn stratified.
        val_size: validation images, and as many generated ones.
        test_size: test images; without it the whole official test split.
        split_seed: draws splits and noise; not the runs' weights and order, which have seeds of their own.
        metric: what losses are judged by: "frechet_distance", "coverage" or "class_accuracy".
    """

    family: Literal["generation"] = "generation"
    dataset: str
    kind: Literal["diffusion", "adversarial", "autoencoder"]
    hidden: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (256,)
    latent: int = Field(default=16, ge=1)
    sampling_steps: int = Field(default=10, ge=1)
    shrink: int = Field(default=1, ge=1)
    copies: int = Field(default=1, ge=1)
    train_size: int = Field(ge=2)
    val_size: int = Field(gt=NEIGHBOURS)
    test_size: int | None = Field(default=None, gt=NEIGHBOURS)
    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    metric: str = "frechet_distance"

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
        if min(dataset.image_shape[1:]) < self.shrink:
            raise ValueError(f"shrink {self.shrink} exceeds a side of images of {dataset.image_shape[1:]}")
        check_batch(self.batch_size, self.train_size)
        return self


_DIGITS: dict[str, Any] = {
    "dataset": "digits",
    "train_size": 1000,
    "val_size": 400,
    "test_size": 397,
    "copies": 32,
    "optimizer": "adam",
    "batch_size": 64,
}
_FASHION: dict[str, Any] = _DIGITS | {
    "dataset": "fashion_mnist",
    "shrink": 2,
    "train_size": 4000,
    "val_size": 500,
    "test_size": 500,
    "copies": 8,
}
_DIGITS_VAE: dict[str, Any] = _DIGITS | {
    "kind": "autoencoder",
    "learning_rate": 0.008,
    "steps": 500,
}

NAMED: Mapping[str, Mapping[str, Any]] = {
    "digits_diffusion": _DIGITS | {"kind": "diffusion", "learning_rate": 0.008, "steps": 500},
    "fashion_diffusion": _FASHION | {"kind": "diffusion", "learning_rate": 0.004, "steps": 500},
    # Losses of its other slot, the generator's, end too much alike for a task of theirs.
    "digits_gan_discriminator": _DIGITS
    | {
        "kind": "adversarial",
        "momentum": 0.0,
        "learning_rate": 0.008,
        "steps": 400,
        "slot": "discriminator",
    },
    "digits_vae_reconstruction": _DIGITS_VAE | {"slot": "reconstruction"},
    "digits_vae_prior": _DIGITS_VAE | {"slot": "prior"},
}
"""Values of named tasks, in listing order."""


def generation_config(spec: str | Mapping[str, Any] | GenerationConfig) -> GenerationConfig:
    """The configuration of a generation task that `spec` means, see `config_from`."""
    return config_from(spec, GenerationConfig, NAMED, lambda path: list(GenerationConfig.model_fields))
