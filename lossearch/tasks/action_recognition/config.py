"""Configurations of action recognition tasks, and those that have names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lossearch.tasks.base import Metric
from lossearch.tasks.classification.noise import Noise
from lossearch.tasks.datasets.data import is_available
from lossearch.tasks.datasets.dataset import Recordings
from lossearch.tasks.datasets.registry import datasets
from lossearch.tasks.metrics import metric, metrics
from lossearch.tasks.streams import MAX_SEED
from lossearch.tasks.training_config import TrainingConfig, check_batch, check_one_of, config_from


class ActionRecognitionConfig(TrainingConfig):
    """Everything that defines an action recognition task. Equal configurations give equal splits, noise included.

    No person is in two of the splits: what is measured is whether actions are told of people that no training saw.
    Where a data set does not tell who was recorded, no recording is in two of them.

    Attributes:
        family: "action_recognition".
        dataset: recordings of sensors; `lossearch data ls` lists them.
        channels: of each convolution.
        shrink: steps of a recording of which each becomes one, their mean.
        window: steps, after shrinking, that an action is told from.
        windows: of each recording, spread evenly over it; they may overlap.
        train_people: people (or recordings, where nobody tells who it was) of the training windows.
        val_people: those of the validation windows.
        test_people: those of the test windows.
        split_seed: draws splits, imbalance and noise; not the runs' weights and order, which have seeds of their own.
        resample: whether every training draws its own training and validation people, with noise and imbalance, by its
            seed, from all that are not test.
        noise: "none", "symmetric" (uniform over the other classes) or "asymmetric" (class c becomes c + 1).
        noise_rate: fraction of wrong training labels, in [0, 1].
        imbalance: size of the largest training class over the smallest, at least 1; class sizes fall exponentially.
        metric: what losses are judged by: one of those of image classification.
    """

    family: Literal["action_recognition"] = "action_recognition"
    dataset: str
    channels: Annotated[tuple[Annotated[int, Field(ge=1)], ...], Field(min_length=1)] = (16, 32)
    shrink: int = Field(default=1, ge=1)
    window: int = Field(ge=1)
    windows: int = Field(ge=1)
    train_people: int = Field(ge=1)
    val_people: int = Field(ge=1)
    test_people: int = Field(ge=1)
    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    resample: bool = False
    noise: Noise = "none"
    noise_rate: float = Field(default=0.0, ge=0.0, le=1.0)
    imbalance: float = Field(default=1.0, ge=1.0)
    metric: str = "accuracy"

    @property
    def recordings(self) -> Recordings:
        """What is known of the data set."""
        found = datasets()[self.dataset]
        assert isinstance(found, Recordings)  # no other is admitted
        return found

    @property
    def classes(self) -> int:
        """Those of the data set."""
        return len(self.recordings.classes)

    @property
    def people(self) -> int:
        """People of the data set, or recordings where nobody tells who it was."""
        return self.recordings.people or self.recordings.train_samples

    def samples(self, people: int) -> int:
        """Windows of so many people."""
        return people * (self.recordings.train_samples // self.people) * self.windows

    @property
    def train_size(self) -> int:
        """Training windows, before `imbalance` thins them out."""
        return self.samples(self.train_people)

    @property
    def val_size(self) -> int:
        """Validation windows."""
        return self.samples(self.val_people)

    def ranking_metric(self) -> Metric:
        """What losses are ranked by."""
        return metric(self.metric)

    def is_available(self) -> bool:
        """Whether the files of the data set are on disk."""
        return is_available(self.dataset)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        check_one_of("dataset", self.dataset, [n for n, one in datasets().items() if isinstance(one, Recordings)])
        check_one_of("metric", self.metric, metrics())
        if (self.noise == "none") != (self.noise_rate == 0.0):
            raise ValueError(f"noise {self.noise!r} does not go with noise_rate {self.noise_rate}")
        wanted = self.train_people + self.val_people + self.test_people
        if wanted > self.people:
            kind = "people" if self.recordings.people else "recordings"
            raise ValueError(
                f"{wanted} {kind} for train, validation and test are more than the {self.people} of dataset"
                f" {self.dataset!r}"
            )
        check_batch(self.batch_size, self.train_size)
        return self


_TRAINING: dict[str, Any] = {"optimizer": "adam", "learning_rate": 0.003, "batch_size": 64, "steps": 300}
# Networks of 16 and 32 channels learn few wrong labels by heart, and losses then end alike.
_EXERCISES: dict[str, Any] = _TRAINING | {
    "dataset": "shoulder_exercises",
    "channels": [32, 64, 64],
    "shrink": 4,
    "window": 32,
    "windows": 14,
    "train_people": 3,
    "val_people": 4,
    "test_people": 3,
}
_MOTIONS: dict[str, Any] = _TRAINING | {
    "dataset": "basic_motions",
    "channels": [32, 64, 64],
    "window": 40,
    "windows": 8,
    "train_people": 28,
    "val_people": 32,
    "test_people": 20,
    "resample": True,  # there are few recordings: which of them are judged moves the metric more than all else
}
_SYMMETRIC: dict[str, Any] = {"noise": "symmetric", "noise_rate": 0.4}

NAMED: Mapping[str, Mapping[str, Any]] = {
    "exercises_noise": _EXERCISES | _SYMMETRIC,
    "exercises_imbalance": _EXERCISES | {"imbalance": 50.0, "metric": "balanced_accuracy"},
    "motions_noise": _MOTIONS | _SYMMETRIC,
}
"""Values of named tasks, in listing order."""


def action_recognition_config(spec: str | Mapping[str, Any] | ActionRecognitionConfig) -> ActionRecognitionConfig:
    """The configuration of an action recognition task that `spec` means, see `config_from`."""
    fields = list(ActionRecognitionConfig.model_fields)
    return config_from(spec, ActionRecognitionConfig, NAMED, lambda path: fields)
