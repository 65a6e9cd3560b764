"""Regression on a table, of numbers or counts, with outliers in training targets where a task asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import numpy as np
import torch
from torch import Tensor, nn

from lossearch.tasks.base import Metric, Slot
from lossearch.tasks.described import Batch, DescribedTask, Model, Phase, RecentDraws, Split
from lossearch.tasks.models import MLP
from lossearch.tasks.regression.config import RegressionConfig, regression_config
from lossearch.tasks.regression.splitting import cut, groups_of, in_drawn_order
from lossearch.tasks.regression.tables import TABLES
from lossearch.tasks.regression.targets import TARGETS
from lossearch.tasks.streams import Stream, generator, redrawn


class RegressionTask(DescribedTask):
    """A multilayer perceptron predicts the numbers of a table's target from its features, or the logarithms of counts.

    Features, and targets that are numbers, are standardised by the clean training rows of the task's own split, so that
    metrics are in standard deviations of the targets; counts stay as they are. Rows with equal features are in one
    split. Outliers come into training targets alone.

    Args:
        spec: a task's name, a mapping as read from TOML, or a configuration.
    """

    def __init__(self, spec: str | Mapping[str, Any] | RegressionConfig) -> None:
        super().__init__(regression_config(spec))
        table = TABLES[self.config.dataset]
        self._target = TARGETS[table.target]
        self._features, self._targets = table.read()
        self._groups = groups_of(self._features)
        train = self._rows(self.config.split_seed)[0]
        self._center = self._features[train].mean(0), self._targets[train].mean()
        deviation = self._features[train].std(0)
        self._deviation = np.where(deviation > 0.0, deviation, 1.0), self._targets[train].std()
        self._own = self._drawn(self.config.split_seed)
        self._redrawn = RecentDraws(lambda seed: self._drawn(redrawn(self.config.split_seed, seed)))

    @property
    def config(self) -> RegressionConfig:
        """What defines the task."""
        return cast(RegressionConfig, self._config)

    @property
    def slots(self) -> Mapping[str, Slot]:
        """One: predicted and true numbers; of counts the logarithms of their predicted means."""
        return {"loss": self._target.slot}

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The configured one first, then the others."""
        return {self.config.metric: self._target.metrics[self.config.metric]} | dict(self._target.metrics)

    def describe(self) -> str:
        """Network, data and sizes."""
        given = self.config
        return (
            f"{self.name}: mlp on {given.dataset}, {given.train_size} training and {given.val_size} validation rows,"
            f" {self._features.shape[1]} features, {given.outliers:.0%} outliers"
        )

    def build_model(self) -> nn.Module:
        """A multilayer perceptron with one output."""
        return MLP((self._features.shape[1],), 1, self.config.hidden)

    def draw(self, seed: int) -> tuple[Split, Split]:
        """Training and validation rows of a training with this seed."""
        return self._redrawn(seed) if self.config.resample else self._own

    def step(self, model: Model, batch: Batch) -> Iterable[Phase]:
        """What is predicted, and the true numbers."""
        predicted = model(batch["features"]).squeeze(-1)
        return (Phase({"loss": {self._target.output: predicted, "target": batch["target"]}}),)

    def measure(self, model: Model, parts: Iterable[Batch]) -> Mapping[str, Tensor]:
        """All metrics."""
        pairs = [(model(part["features"]).squeeze(-1), part["target"]) for part in parts]
        output, target = (torch.cat(tensors, -1) for tensors in zip(*pairs, strict=True))
        mean = self._target.mean(output)
        return {name: metric(mean, target) for name, metric in self._target.metrics.items()}

    def judge(self, slot: str, inputs: Mapping[str, Tensor]) -> Tensor:
        """The metric follows from predicted and true numbers alone."""
        mean = self._target.mean(inputs[self._target.output])
        return self._target.metrics[self.config.metric](mean, inputs["target"])

    def test_split(self) -> Split:
        """Clean rows."""
        return self._split(self._test_rows()[0], np.zeros(self.config.test_size))

    def _test_rows(self) -> tuple[np.ndarray, np.ndarray]:
        """Test rows, the same for every seed, and the rest."""
        draw = generator(self.config.split_seed, Stream.TEST_SPLIT)
        order = in_drawn_order(np.arange(len(self._targets)), self._groups, draw)
        return cut(order, self._groups, self.config.test_size)

    def _rows(self, seed: int) -> tuple[np.ndarray, np.ndarray]:
        """Training and validation rows."""
        rest = np.sort(self._test_rows()[1])
        order = in_drawn_order(rest, self._groups, generator(seed, Stream.TRAIN_SUBSET))
        train, rest = cut(order, self._groups, self.config.train_size)
        return train, cut(rest, self._groups, self.config.val_size)[0]

    def _drawn(self, seed: int) -> tuple[Split, Split]:
        train, validation = self._rows(seed)
        given = self.config
        wrong = np.zeros(given.train_size)
        draw = generator(seed, Stream.NOISE)
        wrong[draw.choice(given.train_size, size=round(given.outliers * given.train_size), replace=False)] = 1.0
        return self._split(train, given.outlier_size * wrong), self._split(validation, np.zeros(given.val_size))

    def _split(self, rows: np.ndarray, shift: np.ndarray) -> Split:
        """Rows, the targets moved by so many standard deviations."""
        features = (self._features[rows] - self._center[0]) / self._deviation[0]
        if self._target.standardised:
            targets = (self._targets[rows] - self._center[1]) / self._deviation[1] + shift
        else:
            targets = np.maximum(self._targets[rows] + np.round(shift * self._deviation[1]), 0.0)
        return Split({"features": torch.from_numpy(features).float(), "target": torch.from_numpy(targets).float()})
