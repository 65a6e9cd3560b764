"""Configurations of tracking tasks, and those that have names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lossearch.tasks.base import Metric
from lossearch.tasks.datasets.data import is_available
from lossearch.tasks.datasets.dataset import Frames
from lossearch.tasks.datasets.registry import datasets
from lossearch.tasks.streams import MAX_SEED
from lossearch.tasks.tracking.metrics import METRICS
from lossearch.tasks.training_config import TrainingConfig, check_batch, check_one_of, config_from


class TrackingConfig(TrainingConfig):
    """Everything that defines a tracking task. Equal configurations give equal splits.

    No time of the film is in two splits, and no nucleus is followed in two of them. Nuclei that are followed in one may
    stand beside those of another, at other times.

    Attributes:
        family: "tracking".
        dataset: a film of nuclei that lie apart.
        channels: of both convolutions.
        depths: frames of each time that are taken, from the first; of deeper ones the nuclei are faint.
        train_times: the first of the film, of which training pairs are.
        val_times: those that follow, of validation pairs.
        test_times: those after them, of test pairs.
        reach: times by which the frames of a pair lie apart, at most.
        train_nuclei: how many are followed in training.
        val_nuclei: others, for validation.
        test_nuclei: others, for the test.
        train_size: training pairs.
        val_size: validation pairs.
        test_size: test pairs.
        wrong_boxes: fraction of training pairs with a wrong box, in [0, 1]: twice as wide and as high, away from one of
            its corners, as where a mask holds a neighbour, too.
        split_seed: draws nuclei and pairs; not the runs' weights and order, which have seeds of their own.
        resample: whether every training draws its own training and validation nuclei, from all that are not test, and
            its own pairs, by its seed.
        metric: what losses are judged by: "success", "overlap" or "centre_error".
    """

    family: Literal["tracking"] = "tracking"
    dataset: str = "cho"
    channels: tuple[Annotated[int, Field(ge=1)], Annotated[int, Field(ge=1)]] = (16, 32)
    depths: int = Field(default=3, ge=1)
    train_times: int = Field(default=10, ge=2)
    val_times: int = Field(default=4, ge=2)
    test_times: int = Field(default=6, ge=2)
    reach: int = Field(default=3, ge=1)
    train_nuclei: int = Field(default=4, ge=1)
    val_nuclei: int = Field(default=3, ge=1)
    test_nuclei: int = Field(default=3, ge=1)
    train_size: int = Field(ge=1)
    val_size: int = Field(ge=1)
    test_size: int = Field(ge=1)
    wrong_boxes: float = Field(default=0.0, ge=0.0, le=1.0)
    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    resample: bool = True
    metric: str = "success"

    @property
    def film(self) -> Frames:
        """What is known of the data set."""
        found = datasets()[self.dataset]
        assert isinstance(found, Frames)  # no other is admitted
        return found

    def ranking_metric(self) -> Metric:
        """What losses are ranked by."""
        return METRICS[self.metric]

    def is_available(self) -> bool:
        """Whether the film is on disk."""
        return is_available(self.dataset)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        known = [name for name, one in datasets().items() if isinstance(one, Frames) and one.apart]
        check_one_of("dataset", self.dataset, known)
        check_one_of("metric", self.metric, METRICS)
        film = self.film
        if self.depths > film.depths:
            raise ValueError(f"{self.depths} depths are more than the {film.depths} of dataset {self.dataset!r}")
        wanted, times = self.train_times + self.val_times + self.test_times, film.train_samples // film.depths
        if wanted > times:
            raise ValueError(f"{wanted} times for train, validation and test are more than the {times} of the film")
        check_batch(self.batch_size, self.train_size)
        return self


# Where all boxes are right losses end alike.
_PAIRS: dict[str, Any] = {
    "wrong_boxes": 0.4,
    "train_size": 800,
    "val_size": 400,
    "test_size": 600,
    "optimizer": "adam",
    "learning_rate": 0.004,  # at 0.01 some seeds end far below others
    "batch_size": 32,
    "steps": 200,
}

NAMED: Mapping[str, Mapping[str, Any]] = {
    "cho_box": _PAIRS | {"slot": "box"},
    "cho_tracking": _PAIRS | {"slot": ["response", "box"]},
}
"""Values of named tasks, in listing order: the same tracker, of which the box's slot is searched or both are."""


def tracking_config(spec: str | Mapping[str, Any] | TrackingConfig) -> TrackingConfig:
    """The configuration of a tracking task that `spec` means, see `config_from`."""
    return config_from(spec, TrackingConfig, NAMED, lambda path: list(TrackingConfig.model_fields))
