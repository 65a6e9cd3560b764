"""Telling the class of a table's rows, of which one class is rare."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, ClassVar, cast

import numpy as np
import torch
from torch import nn

from lossearch.tasks.classification.labelled import LabelledTask
from lossearch.tasks.classification.statistics import measured_facts
from lossearch.tasks.described import RecentDraws, Split
from lossearch.tasks.models import MLP
from lossearch.tasks.streams import redrawn
from lossearch.tasks.tabular.config import TabularConfig, tabular_config
from lossearch.tasks.tabular.rows import Indices, read_table, search_rows, test_rows


class TabularTask(LabelledTask):
    """A multilayer perceptron tells the class of a row from its features.

    Features are scaled to mean 0 and deviation 1 of the task's own training rows. No two rows have equal features.

    Args:
        spec: a task's name, a mapping as read from TOML, or a configuration.

    Raises:
        UserError: the configuration does not fit, or the data is missing or damaged.
    """

    seen: ClassVar[str] = "features"

    def __init__(self, spec: str | Mapping[str, Any] | TabularConfig) -> None:
        super().__init__(tabular_config(spec))
        self._table = read_table(self.config)
        own = search_rows(self.config, self._table, self.config.split_seed)
        features = self._table.features[own[0]]
        deviation = features.std(0)
        self._mean, self._deviation = features.mean(0), np.where(deviation > 0.0, deviation, 1.0)
        self._own = self._split(own[0]), self._split(own[1])
        self._redrawn = RecentDraws(self._drawn)

    @property
    def config(self) -> TabularConfig:
        """What defines the task."""
        return cast(TabularConfig, self._config)

    def class_counts(self) -> Sequence[int]:
        """Of the task's own training rows; as many in those of every seed."""
        return torch.bincount(self._own[0]["labels"], minlength=self.config.classes).tolist()

    def describe(self) -> str:
        """Data and sizes."""
        given, counts = self.config, self.class_counts()
        return (
            f"{self.name}: mlp on {given.dataset}, {given.train_size} training rows, {min(counts)} of them of the"
            f" rarest of {given.classes} classes, and {given.val_size} validation rows, {self._mean.size} features"
        )

    def build_model(self) -> nn.Module:
        """A multilayer perceptron."""
        return MLP((self._mean.size,), self.config.classes, self.config.hidden)

    def draw(self, seed: int) -> tuple[Split, Split]:
        """Training and validation rows of a training with this seed."""
        return self._redrawn(seed) if self.config.resample else self._own

    def test_split(self) -> Split:
        """Rows that no training and no choice saw."""
        return self._split(test_rows(self.config, self._table))

    def facts(self) -> Mapping[str, Any]:
        """Class frequencies and an estimate of label noise, of the training rows; the metric as configured."""
        train = self._own[0]
        measured = measured_facts(train["features"], train["labels"], self.config.classes)
        return {**measured, "metric": self.config.metric}

    def _drawn(self, seed: int) -> tuple[Split, Split]:
        train, validation = search_rows(self.config, self._table, redrawn(self.config.split_seed, seed))
        return self._split(train), self._split(validation)

    def _split(self, rows: Indices) -> Split:
        scaled = ((self._table.features[rows] - self._mean) / self._deviation).astype(np.float32)
        return Split({"features": torch.from_numpy(scaled), "labels": torch.from_numpy(self._table.labels[rows])})
