"""Configurations of regression tasks, and those that have names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lossearch.tasks.base import Metric
from lossearch.tasks.regression.metrics import METRICS
from lossearch.tasks.regression.tables import TABLES
from lossearch.tasks.regression.targets import TARGETS
from lossearch.tasks.streams import MAX_SEED
from lossearch.tasks.training_config import TrainingConfig, check_batch, check_one_of, config_from


class RegressionConfig(TrainingConfig):
    """Everything that defines a regression task. Equal configurations give equal splits, outliers included.

    Attributes:
        family: "regression".
        dataset: its table.
        hidden: width of each hidden layer of a multilayer perceptron; none gives a linear model.
        train_size: training rows.
        val_size: validation rows.
        test_size: test rows.
        split_seed: draws splits and outliers; not the runs' weights and order, which have seeds of their own.
        resample: whether every training draws its own training and validation rows by its seed, from all that is not
            test.
        outliers: fraction of training targets that are wrong, in [0, 1].
        outlier_kind: how targets are wrong: "shifted", all by the same; "scattered", each by its own, to either side;
            "swapped", each is that of another row. Times are swapped whatever is set.
        outlier_size: by how much they are too large, in standard deviations of the clean targets; negative for too
            small. Of scattered ones the standard deviation of what is added. Wrong counts are rounded, and not below
            zero. Swapped ones have no size.
        metric: what losses are judged by: "mae", "rmse" or "r2" of numbers, "poisson_deviance", "mae" or "rmse" of
            counts, "concordance" or "median_auc" of times.
    """

    name: str = "custom"
    family: Literal["regression"] = "regression"
    dataset: str = "diabetes"
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (64,)
    train_size: int = Field(ge=1)
    val_size: int = Field(ge=1)
    test_size: int = Field(ge=1)
    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    resample: bool = False
    outliers: float = Field(default=0.0, ge=0.0, le=1.0)
    outlier_kind: Literal["shifted", "scattered", "swapped"] = "shifted"
    outlier_size: float = Field(default=5.0, ge=-100.0, le=100.0)
    metric: str = "mae"

    def ranking_metric(self) -> Metric:
        """What losses are ranked by."""
        return METRICS[self.metric]

    def is_available(self) -> bool:
        """Whether the table is on disk, or embedded."""
        return TABLES[self.dataset].is_available()

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        check_one_of("dataset", self.dataset, TABLES)
        check_one_of("metric", self.metric, TARGETS[TABLES[self.dataset].target].metrics)
        wanted, rows = self.train_size + self.val_size + self.test_size, TABLES[self.dataset].rows
        if wanted > rows:
            raise ValueError(f"{wanted} rows for train, validation and test are more than the {rows} of the table")
        if self.outlier_kind == "scattered" and TABLES[self.dataset].target == "time":
            raise ValueError("outlier_kind is 'scattered', but wrong times are swapped: leave it out")
        check_batch(self.batch_size, self.train_size)
        return self


# The 442 patients are few: every seed draws its own rows from the 342 that are not test.
_DIABETES: dict[str, Any] = {
    "dataset": "diabetes",
    "train_size": 200,
    "val_size": 142,
    "test_size": 100,
    "resample": True,
    "hidden": [32],
    "batch_size": 50,
    "steps": 150,
}
# Adam, since under SGD losses with small gradients are merely trained less. Only many rows tell losses apart where no
# target is wrong.
_DIAMONDS: dict[str, Any] = {
    "dataset": "diamonds",
    "train_size": 8000,
    "val_size": 12_000,
    "test_size": 20_000,
    "resample": True,
    "hidden": [64],
    "batch_size": 100,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "steps": 600,
}
# Without wrong targets its losses are as good as each other.
_COMPUTERS: dict[str, Any] = {
    "dataset": "computers",
    "outliers": 0.2,
    "train_size": 1000,
    "val_size": 2000,
    "test_size": 2500,
    "resample": True,
    "hidden": [64],
    "batch_size": 100,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "steps": 300,
}
# What a planner needs is the mean number of visits. Absolute errors are least at the median instead, which is one visit
# where the mean is three; the deviance is least at the mean, and minds the few with 50 visits less than RMSE does.
_VISITS: dict[str, Any] = {
    "dataset": "doctor_visits",
    "train_size": 1500,
    "val_size": 2000,
    "test_size": 2400,
    "resample": True,
    "hidden": [32],
    "batch_size": 100,
    "steps": 300,
    "metric": "poisson_deviance",
}
# Few events, of 28 %, among few residents: what is known of the others has to be used.
_RESIDENTS: dict[str, Any] = {
    "dataset": "residents",
    "train_size": 600,
    "val_size": 1500,
    "test_size": 2500,
    "resample": True,
    "hidden": [32],
    "batch_size": 100,
    "steps": 300,
    "optimizer": "adam",
    "learning_rate": 0.003,
    "metric": "concordance",
}

NAMED: Mapping[str, Mapping[str, Any]] = {
    "diabetes": _DIABETES | {"learning_rate": 0.003},
    "diabetes_outliers": _DIABETES | {"outliers": 0.2, "learning_rate": 0.003},
    "diamonds": _DIAMONDS,
    "diamonds_outliers": _DIAMONDS | {"outliers": 0.2},
    "computers_outliers": _COMPUTERS,
    "doctor_visits": _VISITS | {"learning_rate": 0.003},
    "doctor_visits_outliers": _VISITS | {"outliers": 0.1, "learning_rate": 0.003},
    "residents": _RESIDENTS,
    "residents_wrong_times": _RESIDENTS | {"outliers": 0.3},
}
"""Values of named tasks, in listing order."""


def regression_config(spec: str | Mapping[str, Any] | RegressionConfig) -> RegressionConfig:
    """The configuration of a regression task that `spec` means, see `config_from`."""
    return config_from(spec, RegressionConfig, NAMED, lambda path: list(RegressionConfig.model_fields))
