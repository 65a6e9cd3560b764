"""Configurations of classification tasks on tables, and those that have names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lossearch.tasks.base import Metric
from lossearch.tasks.datasets.data import is_available
from lossearch.tasks.datasets.dataset import Rows
from lossearch.tasks.datasets.registry import datasets
from lossearch.tasks.metrics import metric, metrics
from lossearch.tasks.streams import MAX_SEED
from lossearch.tasks.training_config import TrainingConfig, check_batch, check_one_of, config_from


class TabularConfig(TrainingConfig):
    """Everything that defines a classification task on a table. Equal configurations give equal splits.

    All splits have the proportions of classes that the table has.

    Attributes:
        family: "tabular_classification".
        dataset: a table whose rows have classes; `lossearch data ls` lists them.
        hidden: width of each hidden layer of a multilayer perceptron; none gives a linear model.
        train_size: training rows.
        val_size: validation rows.
        test_size: test rows.
        split_seed: draws splits; not the runs' weights and order, which have seeds of their own.
        resample: whether every training draws its own training and validation rows by its seed, from all that is not
            test.
        metric: what losses are judged by: one of those of image classification.
    """

    family: Literal["tabular_classification"] = "tabular_classification"
    dataset: str
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (64,)
    train_size: int = Field(ge=1)
    val_size: int = Field(ge=1)
    test_size: int = Field(ge=1)
    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    resample: bool = True
    metric: str = "balanced_accuracy"

    @property
    def table(self) -> Rows:
        """What is known of the data set."""
        found = datasets()[self.dataset]
        assert isinstance(found, Rows)  # no other is admitted
        return found

    @property
    def classes(self) -> int:
        """Those of the data set."""
        return len(self.table.classes)

    def ranking_metric(self) -> Metric:
        """What losses are ranked by."""
        return metric(self.metric)

    def is_available(self) -> bool:
        """Whether the table is on disk."""
        return is_available(self.dataset)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        known = [name for name, one in datasets().items() if isinstance(one, Rows) and one.classes]
        check_one_of("dataset", self.dataset, known)
        check_one_of("metric", self.metric, metrics())
        wanted, rows = self.train_size + self.val_size + self.test_size, self.table.train_samples
        if wanted > rows:
            raise ValueError(f"{wanted} rows for train, validation and test are more than the {rows} of the table")
        check_batch(self.batch_size, self.train_size)
        return self


# Of the rare class there are few: every seed draws its own rows from all that are not test.
_TRAINING: dict[str, Any] = {"optimizer": "adam", "learning_rate": 0.01, "batch_size": 100, "steps": 300}

NAMED: Mapping[str, Mapping[str, Any]] = {
    "page_blocks": _TRAINING | {"dataset": "page_blocks", "train_size": 2000, "val_size": 1700, "test_size": 1600},
    "yeast4": _TRAINING | {"dataset": "yeast4", "train_size": 653, "val_size": 400, "test_size": 400},
    "abalone19": _TRAINING | {"dataset": "abalone19", "train_size": 1574, "val_size": 1300, "test_size": 1300},
}
"""Values of named tasks, in listing order."""


def tabular_config(spec: str | Mapping[str, Any] | TabularConfig) -> TabularConfig:
    """The configuration of a classification task on a table that `spec` means, see `config_from`."""
    return config_from(spec, TabularConfig, NAMED, lambda path: list(TabularConfig.model_fields))
