"""Forecasting of series, with spikes in their training part where the configuration asks for them."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lossearch.tasks.base import Metric, Slot
from lossearch.tasks.described import Batch, DescribedTask, Model, Phase, RecentDraws, Split
from lossearch.tasks.models import MLP
from lossearch.tasks.streams import redrawn
from lossearch.tasks.time_series.config import TimeSeriesConfig, time_series_config
from lossearch.tasks.time_series.metrics import METRICS, Forecast, measured, metrics_of
from lossearch.tasks.time_series.series import Array
from lossearch.tasks.time_series.windows import Parts, naive_error, split, windows, with_spikes

LEAST_VARIANCE = 1e-4
"""That a network can forecast, in squared standard deviations of the training part."""

SLOTS = {"point": Slot("regression", "huber"), "normal": Slot("regression_variance", "gaussian_nll")}
"""By what is forecast."""


class TimeSeriesTask(DescribedTask):
    """A multilayer perceptron forecasts the next steps of a series, all at once, from a window of those before.

    Values are in standard deviations of the clean training part, and the mean of a window is taken off it and off what
    follows it. Spikes come into the training part alone.

    Args:
        spec: a task's name, a mapping as read from TOML, or a configuration.

    Raises:
        UserError: the configuration does not fit, or the data is missing or damaged.
    """

    def __init__(self, spec: str | Mapping[str, Any] | TimeSeriesConfig) -> None:
        super().__init__(time_series_config(spec))
        values = self.config.series.read()
        train = split(self.config, values, self.config.split_seed).train
        self._values = (values - train.mean()) / train.std()
        self._naive_error = naive_error(self.config, self._parts(self.config.split_seed).train)
        self._own = self._drawn(self.config.split_seed)
        self._redrawn = RecentDraws(lambda seed: self._drawn(redrawn(self.config.split_seed, seed)))

    @property
    def config(self) -> TimeSeriesConfig:
        """What defines the task."""
        return cast(TimeSeriesConfig, self._config)

    @property
    def slots(self) -> Mapping[str, Slot]:
        """One: forecast and true numbers of all steps, with the variances of normal forecasts."""
        return {"loss": SLOTS[self.config.forecast]}

    @property
    def metrics(self) -> Mapping[str, Metric]:
        """The configured one first, then the others."""
        return {self.config.metric: METRICS[self.config.metric]} | dict(metrics_of(self.config.forecast))

    def describe(self) -> str:
        """Network, data and sizes."""
        given, unit = self.config, self.config.series.unit
        train, validation = (len(part) for part in self._own)
        return (
            f"{self.name}: mlp on {given.dataset}, {given.horizon} {unit}s from {given.window}, {train} training and"
            f" {validation} validation windows, {given.spikes:.0%} spikes"
        )

    def build_model(self) -> nn.Module:
        """A multilayer perceptron with an output for each step, or two for a mean and a variance."""
        outputs = self.config.horizon * (2 if self.config.forecast == "normal" else 1)
        return MLP((self.config.window,), outputs, self.config.hidden)

    def draw(self, seed: int) -> tuple[Split, Split]:
        """Training and validation windows; the same for all seeds of one series without spikes."""
        alike = self.config.series.count == 1 and not self.config.spikes
        return self._redrawn(seed) if self.config.resample and not alike else self._own

    def step(self, model: Model, batch: Batch) -> Iterable[Phase]:
        """Forecast and true numbers: `[batch, step]`."""
        return (Phase({"loss": self._forecast(model, batch) | {"target": batch["future"]}}),)

    def measure(self, model: Model, parts: Iterable[Batch]) -> Mapping[str, Tensor]:
        """All metrics, over all steps of all windows."""
        found = [self._forecast(model, part) | {"target": part["future"]} for part in parts]
        whole = {name: torch.cat([part[name] for part in found], -2) for name in found[0]}
        return {name: self._measured(name, whole) for name in self.metrics}

    def judge(self, slot: str, inputs: Mapping[str, Tensor]) -> Tensor:
        """The metric follows from forecasts and true numbers alone."""
        return self._measured(self.config.metric, inputs)

    def test_split(self) -> Split:
        """Clean windows of the test part."""
        return self._split(self._parts(self.config.split_seed).test)

    def _forecast(self, model: Model, batch: Batch) -> dict[str, Tensor]:
        output = model(batch["past"])
        if self.config.forecast == "point":
            return {"prediction": output}
        mean, spread = output.chunk(2, -1)
        return {"prediction": mean, "variance": F.softplus(spread) + LEAST_VARIANCE}

    def _measured(self, name: str, inputs: Mapping[str, Tensor]) -> Tensor:
        mean, target, variance = inputs["prediction"], inputs["target"], inputs.get("variance")
        return measured(name, Forecast(mean, target, self._naive_error, self.config.level, variance))

    def _parts(self, seed: int) -> Parts:
        return split(self.config, self._values, seed)

    def _drawn(self, seed: int) -> tuple[Split, Split]:
        parts = self._parts(seed)
        return self._split(with_spikes(self.config, parts.train, seed)), self._split(parts.validation)

    def _split(self, values: Array) -> Split:
        past, future = windows(self.config, values)
        return Split({"past": torch.from_numpy(past).float(), "future": torch.from_numpy(future).float()})
