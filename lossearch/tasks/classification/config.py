"""Configurations of tasks: small frozen models over TOML, and the table of named tasks."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import BaseModel, ConfigDict, Field, model_validator
from torch import nn

from lossearch.errors import UserError
from lossearch.tasks.base import Metric
from lossearch.tasks.classification.noise import Noise
from lossearch.tasks.classification.sizes import check_sizes
from lossearch.tasks.datasets.data import is_available
from lossearch.tasks.datasets.dataset import LabelledImages
from lossearch.tasks.datasets.registry import datasets
from lossearch.tasks.metrics import metric, metrics
from lossearch.tasks.models import CNN, MLP, ImageShape, ViT
from lossearch.tasks.streams import MAX_SEED
from lossearch.tasks.training_config import TrainingConfig, check_batch, check_one_of, config_from

Width = Annotated[int, Field(ge=1)]


class _Config(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)


class MLPConfig(_Config):
    """Multilayer perceptron; see `lossearch.tasks.models.MLP`.

    Attributes:
        name: which model.
        hidden: width of each hidden layer.
    """

    name: Literal["mlp"] = "mlp"
    hidden: tuple[Width, ...] = (64,)

    def build(self, image_shape: ImageShape, classes: int) -> nn.Module:
        """A freshly initialised model."""
        return MLP(image_shape, classes, self.hidden)


class CNNConfig(_Config):
    """Small convolutional network; see `lossearch.tasks.models.CNN`.

    Attributes:
        name: which model.
        channels: of each convolution.
    """

    name: Literal["cnn"] = "cnn"
    channels: Annotated[tuple[Width, ...], Field(min_length=1)] = (16, 32)

    def build(self, image_shape: ImageShape, classes: int) -> nn.Module:
        """A freshly initialised model."""
        return CNN(image_shape, classes, self.channels)


class ViTConfig(_Config):
    """Tiny vision transformer; see `lossearch.tasks.models.ViT`.

    Attributes:
        name: which model.
        patch: side of a patch in pixels; it must divide the image's sides.
        width: of a token.
        depth: transformer blocks.
        heads: of the attention; they must divide the width.
    """

    name: Literal["vit"] = "vit"
    patch: Width = 4
    width: Width = 32
    depth: Width = 2
    heads: Width = 4

    @model_validator(mode="after")
    def _heads_divide_width(self) -> Self:
        if self.width % self.heads:
            raise ValueError(f"width {self.width} is no multiple of heads {self.heads}")
        return self

    def build(self, image_shape: ImageShape, classes: int) -> nn.Module:
        """A freshly initialised model.

        Raises:
            UserError: the patches do not tile the image.
        """
        if image_shape[1] % self.patch or image_shape[2] % self.patch:
            raise UserError(
                f"a patch that divides {image_shape[1]}x{image_shape[2]}",
                str(self.patch),
                "change model.patch",
            )
        return ViT(image_shape, classes, self.patch, self.width, self.depth, self.heads)


ModelConfig = Annotated[MLPConfig | CNNConfig | ViTConfig, Field(discriminator="name")]


class TaskConfig(TrainingConfig):
    """Everything that defines a task. Equal configs give equal splits, noise included.

    Attributes:
        dataset: its name; `lossearch data ls` lists them.
        model: architecture and its options.
        train_size: training images, drawn stratified, before `imbalance` thins them out.
        val_size: validation images, stratified, clean.
        test_size: test images, stratified, clean; without it the whole official test split.
        split_seed: draws splits, imbalance and noise; not the runs' weights and order, which have seeds of
            their own.
        resample: whether every training draws its own training and validation images, with noise and imbalance, by
            its seed, from all that is not test (repeated random subsampling, Picard and Cook 1984): what is chosen
            over several seeds is then not fitted to one small validation split. False: all share one draw.
        noise: "none", "symmetric" (uniform over the other classes) or "asymmetric" (class c becomes c + 1).
        noise_rate: fraction of wrong training labels, in [0, 1].
        imbalance: size of the largest training class over the smallest, at least 1; class sizes fall
            exponentially.
        metric: what losses are judged by: "accuracy", "balanced_accuracy", "worst_class_recall", "calibration_error",
            "mean_iou" or "negative_log_likelihood".
    """

    dataset: str
    model: ModelConfig = MLPConfig()
    train_size: int = Field(ge=1)
    val_size: int = Field(ge=1)
    test_size: int | None = Field(default=None, ge=1)
    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    resample: bool = False
    noise: Noise = "none"
    noise_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    imbalance: float = Field(default=1.0, ge=1.0)
    metric: str = "accuracy"

    @property
    def classes(self) -> int:
        """Those of the data set."""
        return len(datasets()[self.dataset].classes)

    def ranking_metric(self) -> Metric:
        """What losses are ranked by."""
        return metric(self.metric)

    def is_available(self) -> bool:
        """Whether the files of the data set are on disk."""
        return is_available(self.dataset)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        known = {name: one for name, one in datasets().items() if isinstance(one, LabelledImages)}
        check_one_of("dataset", self.dataset, known)
        check_one_of("metric", self.metric, metrics())
        if (self.noise == "none") != (self.noise_rate == 0.0):
            raise ValueError(f"noise {self.noise!r} does not go with noise_rate {self.noise_rate}")
        check_sizes(self, known[self.dataset])
        check_batch(self.batch_size, self.train_size)
        return self


# digits: stratified 800 / 500 / 497 of 1797 images. At 40 % noise 800 labels leave 480 right ones, few enough for
# losses to differ. The best of hundreds of losses on 500 images is the best for these images (the standard error of an
# accuracy is about 1.2 points there), so every seed draws its own from the 1300 that are not test.
_DIGITS: dict[str, Any] = {
    "dataset": "digits",
    "model": {"name": "mlp", "hidden": [64]},
    "train_size": 800,
    "val_size": 500,
    "test_size": 497,
    "resample": True,
    "batch_size": 100,
    "steps": 300,
}
# fashion: validation comes out of the official training part, test is the official test split.
_FASHION: dict[str, Any] = {
    "dataset": "fashion_mnist",
    "model": {"name": "cnn", "channels": [16, 32]},
    "train_size": 10_000,
    "val_size": 2000,
    "batch_size": 100,
    "steps": 1000,
}
# cifar10: as many of the 50,000 official training images as a small network sees eight times in 400 steps.
# With right labels losses end alike.
_CIFAR10: dict[str, Any] = {
    "dataset": "cifar10",
    "model": {"name": "cnn", "channels": [16, 32]},
    "train_size": 5000,
    "val_size": 2000,
    "optimizer": "adam",
    "learning_rate": 0.003,
    "batch_size": 100,
    "steps": 400,
}
_SYMMETRIC: dict[str, Any] = {"noise": "symmetric", "noise_rate": 0.4}
_ASYMMETRIC: dict[str, Any] = {"noise": "asymmetric", "noise_rate": 0.3}
_LONG_TAIL: dict[str, Any] = {"imbalance": 20.0, "metric": "balanced_accuracy"}

NAMED: dict[str, dict[str, Any]] = {
    "digits": _DIGITS | {"learning_rate": 0.2},
    "digits_noise": _DIGITS | _SYMMETRIC | {"learning_rate": 0.0125},
    "digits_asymmetric": _DIGITS | _ASYMMETRIC | {"learning_rate": 0.025},
    "digits_imbalance": _DIGITS | _LONG_TAIL | {"learning_rate": 0.05},
    "fashion": _FASHION | {"learning_rate": 0.05},
    "fashion_noise": _FASHION | _SYMMETRIC | {"learning_rate": 0.003},
    "fashion_asymmetric": _FASHION | _ASYMMETRIC | {"learning_rate": 0.0015},
    "fashion_imbalance": _FASHION | _LONG_TAIL | {"learning_rate": 0.025},
    "cifar10_noise": _CIFAR10 | _SYMMETRIC,
}


"""Values of named tasks, in listing order."""


def task_config(spec: str | Mapping[str, Any] | TaskConfig) -> TaskConfig:
    """The configuration of an image classification task that `spec` means, see `config_from`."""
    return config_from(spec, TaskConfig, NAMED, fields)


_MODELS: dict[str, type[BaseModel]] = {"mlp": MLPConfig, "cnn": CNNConfig, "vit": ViTConfig}


def fields(path: tuple[str, ...]) -> list[str]:
    """Names that a task's table may hold, or at ("model", NAME) the table of that model."""
    return list(_MODELS[path[1]].model_fields) if path[:1] == ("model",) else list(TaskConfig.model_fields)
