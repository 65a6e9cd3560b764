"""Regression on a table, of numbers, counts or times, with wrong training targets where a task asks for them."""

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
from lossearch.tasks.regression.splitting import Rows, cut, groups_of, in_drawn_order
from lossearch.tasks.regression.tables import TABLES
from lossearch.tasks.regression.targets import TARGETS
from lossearch.tasks.streams import Stream, generator, redrawn

_NONE: Rows = np.zeros(0, dtype=np.int64)
_NO_SIZES = np.zeros(0)


class RegressionTask(DescribedTask):
    """A multilayer perceptron predicts numbers from a table's features, or the logarithms of counts or of risks.

    Features, and targets that are numbers, are standardised by the clean training rows of the task's own split, so that
    metrics are in standard deviations of the targets; counts stay as they are, and times are in units of their mean.
    Rows with equal features are in one split. Outliers come into training targets alone.

    Args:
        spec: a task's name, a mapping as read from TOML, or a configuration.
    """

    def __init__(self, spec: str | Mapping[str, Any] | RegressionConfig) -> None:
        super().__init__(regression_config(spec))
        table = TABLES[self.config.dataset]
        self._target = TARGETS[table.target]
        self._features, self._targets, *events = table.read()
        self._events = events[0] if events else None
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
        """One: predicted and true numbers; of counts logarithms of predicted means, of times logarithms of risks."""
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
        return (Phase({"loss": {self._target.output: predicted} | {name: batch[name] for name in self._target.known}}),)

    def measure(self, model: Model, parts: Iterable[Batch]) -> Mapping[str, Tensor]:
        """All metrics."""
        names = self._target.known
        told = [(model(part["features"]).squeeze(-1), *(part[name] for name in names)) for part in parts]
        output, *known = (torch.cat(tensors, -1) for tensors in zip(*told, strict=True))
        mean = self._target.mean(output)
        return {name: metric(mean, *known) for name, metric in self._target.metrics.items()}

    def judge(self, slot: str, inputs: Mapping[str, Tensor]) -> Tensor:
        """The metric follows from what the loss is given alone."""
        mean = self._target.mean(inputs[self._target.output])
        return self._target.metrics[self.config.metric](mean, *(inputs[name] for name in self._target.known))

    def test_split(self) -> Split:
        """Clean rows."""
        return self._split(self._test_rows()[0])

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
        draw = generator(seed, Stream.NOISE)
        wrong = draw.choice(given.train_size, size=round(given.outliers * given.train_size), replace=False)
        size = np.full(len(wrong), given.outlier_size)
        if given.outlier_kind == "scattered":
            size = size * draw.standard_normal(len(wrong))
        return self._split(train, wrong, size), self._split(validation)

    def _split(self, rows: Rows, wrong: Rows = _NONE, size: np.ndarray = _NO_SIZES) -> Split:
        """Rows, of which those at some places have wrong targets, by how much where they are not swapped."""
        features = (self._features[rows] - self._center[0]) / self._deviation[0]
        tensors = {"features": features} | self._known(rows, wrong, size)
        return Split({name: torch.from_numpy(values).float() for name, values in tensors.items()})

    def _known(self, rows: Rows, wrong: Rows, size: np.ndarray) -> dict[str, np.ndarray]:
        """Targets, the wrong ones moved by some standard deviations, or swapped with each other."""
        if self._events is not None or self.config.outlier_kind == "swapped":
            rows = rows.copy()
            rows[wrong] = rows[np.roll(wrong, 1)]
        if self._events is not None:
            return {"time": self._targets[rows] / self._center[1], "event": self._events[rows]}
        shift = np.zeros(len(rows))
        if self.config.outlier_kind != "swapped":
            shift[wrong] = size
        if self._target.standardised:
            return {"target": (self._targets[rows] - self._center[1]) / self._deviation[1] + shift}
        return {"target": np.maximum(self._targets[rows] + np.round(shift * self._deviation[1]), 0.0)}
