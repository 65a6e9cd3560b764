"""Configurations of forecasting tasks, and those that have names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lossearch.tasks.base import Metric
from lossearch.tasks.datasets.data import is_available
from lossearch.tasks.streams import MAX_SEED
from lossearch.tasks.time_series.metrics import metrics_of
from lossearch.tasks.time_series.series import SERIES, Series
from lossearch.tasks.training_config import TrainingConfig, check_batch, check_one_of, config_from


class TimeSeriesConfig(TrainingConfig):
    """Everything that defines a forecasting task. Equal configurations give equal splits, spikes included.

    One long series is split in time: training, validation and test follow each other, and no window reaches over a
    border. Of many short series each is in one part.

    Attributes:
        family: "time_series".
        dataset: its series.
        window: steps that a forecast is made from.
        horizon: steps that are forecast, all at once.
        hidden: width of each hidden layer of a multilayer perceptron; none gives a linear model.
        forecast: "point", a number for each step; or "normal", a mean and a variance for each.
        val_share: share of the steps, or of the series where there are many, that validation windows come from.
        test_share: the same of test windows.
        split_seed: draws splits and spikes; not the runs' weights and order, which have seeds of their own.
        resample: whether every training draws its own spikes by its seed, and where there are many series its own
            training and validation series, from all that are not test.
        spikes: fraction of the values of the training part that are wrong, in [0, 1), as where a sensor fails.
        spike_size: by how much they are too large, in standard deviations of the clean training part; negative for
            too small.
        level: quantile, in (0, 1), that the pinball metric of point forecasts asks for; 0.9 where a forecast that is
            too low costs nine times as much as one that is too high.
        metric: what losses are judged by: "mase", "rmse" or "pinball", of normal forecasts also "coverage_error".
    """

    name: str = "custom"
    family: Literal["time_series"] = "time_series"
    dataset: str
    window: int = Field(ge=1)
    horizon: int = Field(ge=1)
    hidden: tuple[Annotated[int, Field(ge=1)], ...] = (64,)
    forecast: Literal["point", "normal"] = "point"
    val_share: float = Field(default=0.2, gt=0.0, lt=1.0)
    test_share: float = Field(default=0.2, gt=0.0, lt=1.0)
    split_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    resample: bool = True
    spikes: float = Field(default=0.0, ge=0.0, lt=1.0)
    spike_size: float = Field(default=5.0, ge=-100.0, le=100.0)
    level: float = Field(default=0.5, gt=0.0, lt=1.0)
    metric: str = "mase"

    @property
    def series(self) -> Series:
        """What is forecast."""
        return SERIES[self.dataset]

    @property
    def span(self) -> int:
        """Steps of a window and of what follows it."""
        return self.window + self.horizon

    def ranking_metric(self) -> Metric:
        """What losses are ranked by."""
        return metrics_of(self.forecast)[self.metric]

    def is_available(self) -> bool:
        """Whether the series are on disk."""
        return is_available(self.dataset)

    def parts(self) -> tuple[int, int, int]:
        """Steps, or series where there are many, for training, validation and test."""
        length = self.series.steps if self.series.count == 1 else self.series.count
        validation, test = (round(share * length) for share in (self.val_share, self.test_share))
        return length - validation - test, validation, test

    def windows(self, part: int) -> int:
        """How many windows a part has of so many steps, or series."""
        if self.series.count == 1:
            return max(0, part - self.span + 1)
        return part * max(0, self.series.steps - self.span + 1)

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        check_one_of("dataset", self.dataset, SERIES)
        check_one_of("metric", self.metric, metrics_of(self.forecast))
        for name, part in zip(("training", "validation", "test"), self.parts(), strict=True):
            if self.windows(part) < 1:
                kind = "steps" if self.series.count == 1 else f"series of {self.series.steps} steps"
                raise ValueError(f"the {max(0, part)} {kind} for {name} hold no window of {self.span} steps")
        check_batch(self.batch_size, self.windows(self.parts()[0]))
        return self


_TRAINING: dict[str, Any] = {"optimizer": "adam", "learning_rate": 0.003, "batch_size": 64, "steps": 500}
_SUNSPOTS: dict[str, Any] = _TRAINING | {"dataset": "sunspots", "window": 48, "horizon": 12}
# Without spikes losses on co2 end alike.
_CO2: dict[str, Any] = _TRAINING | {"dataset": "co2", "window": 24, "horizon": 12}
_POWER: dict[str, Any] = _TRAINING | {"dataset": "italy_power", "window": 16, "horizon": 8}
_SIEMENS: dict[str, Any] = _TRAINING | {"dataset": "siemens", "window": 20, "horizon": 5}
_SIEMENS |= {"forecast": "normal", "metric": "pinball"}  # returns cannot be foretold, but how widely they will spread
_SPIKES: dict[str, Any] = {"spikes": 0.1}

NAMED: Mapping[str, Mapping[str, Any]] = {
    "sunspots": _SUNSPOTS,
    "sunspots_spikes": _SUNSPOTS | _SPIKES,
    "sunspots_high": _SUNSPOTS | {"metric": "pinball", "level": 0.9},
    "co2_spikes": _CO2 | _SPIKES,
    "italy_power": _POWER,
    "italy_power_spikes": _POWER | _SPIKES,
    "siemens": _SIEMENS,
    "siemens_spikes": _SIEMENS | {"spikes": 0.02, "spike_size": 10.0},
}
"""Values of named tasks, in listing order."""


def time_series_config(spec: str | Mapping[str, Any] | TimeSeriesConfig) -> TimeSeriesConfig:
    """The configuration of a forecasting task that `spec` means, see `config_from`."""
    return config_from(spec, TimeSeriesConfig, NAMED, lambda path: list(TimeSeriesConfig.model_fields))
