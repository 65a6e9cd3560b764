"""Configurations of regression tasks, and those that have names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lossearch.tasks.base import Metric
from lossearch.tasks.regression.metrics import METRICS
from lossearch.tasks.regression.tables import TABLES
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
        outlier_size: by how much they are too large, in standard deviations of the clean targets; negative for too
            small.
        metric: what losses are judged by: "mae", "rmse" or "r2".
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
    outlier_size: float = Field(default=5.0, ge=-100.0, le=100.0)
    metric: str = "mae"

    def ranking_metric(self) -> Metric:
        """What losses are ranked by."""
        return METRICS[self.metric]

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        check_one_of("dataset", self.dataset, TABLES)
        check_one_of("metric", self.metric, METRICS)
        wanted, rows = self.train_size + self.val_size + self.test_size, TABLES[self.dataset].rows
        if wanted > rows:
            raise ValueError(f"{wanted} rows for train, validation and test are more than the {rows} of the table")
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

NAMED: Mapping[str, Mapping[str, Any]] = {
    "diabetes": _DIABETES | {"learning_rate": 0.003},
    "diabetes_outliers": _DIABETES | {"outliers": 0.2, "learning_rate": 0.003},
}
"""Values of named tasks, in listing order."""


def regression_config(spec: str | Mapping[str, Any] | RegressionConfig) -> RegressionConfig:
    """The configuration of a regression task that `spec` means, see `config_from`."""
    return config_from(spec, RegressionConfig, NAMED, lambda path: list(RegressionConfig.model_fields))
