"""Metrics of forecasts of one run or many.

Tensors are `[..., window, step]`; each metric gives `[...]`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from statistics import NormalDist

import torch
from torch import Tensor

from lossearch.tasks.base import Metric
from lossearch.tasks.regression.metrics import mean_absolute_error, root_mean_square_error

LEVELS = (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9)
"""Quantiles of a normal forecast that the pinball metric looks at."""

COVERED = LEVELS[-1] - LEVELS[0]
"""Share of the true values that the interval between the outermost of them should hold."""


@dataclass(frozen=True)
class Forecast:
    """What was forecast, and what came.

    Attributes:
        mean: forecast numbers.
        target: true numbers.
        naive_error: mean absolute error, on the training part, of the forecast that repeats the value of a season ago.
        level: quantile that point forecasts are asked for.
        variance: forecast variances, where there are any.
    """

    mean: Tensor
    target: Tensor
    naive_error: float
    level: float = 0.5
    variance: Tensor | None = None


def mean_absolute_scaled_error(forecast: Forecast) -> Tensor:
    """Mean absolute error in units of the naive one, in [0, ∞). Hyndman and Koehler 2006."""
    return mean_absolute_error(forecast.mean.flatten(-2), forecast.target.flatten(-2)) / forecast.naive_error


def root_mean_squared_error(forecast: Forecast) -> Tensor:
    """Root of the mean squared error, in [0, ∞)."""
    return root_mean_square_error(forecast.mean.flatten(-2), forecast.target.flatten(-2))


def pinball(forecast: Forecast) -> Tensor:
    """Mean of max(q·e, (q - 1)·e), e = target - forecast, in [0, ∞). Koenker and Bassett 1978.

    Of a point forecast at its level; of a normal one averaged over nine quantiles, about half its CRPS.
    """
    if forecast.variance is None:
        return _pinball(forecast.mean, forecast.target, forecast.level)
    losses = [_pinball(_quantile(forecast, level), forecast.target, level) for level in LEVELS]
    return torch.stack(losses).mean(0)


def coverage_error(forecast: Forecast) -> Tensor:
    """|share of the true values between the 10 % and the 90 % quantile - 0.8|, in [0, 0.8]."""
    low, high = _quantile(forecast, LEVELS[0]), _quantile(forecast, LEVELS[-1])
    held = (low <= forecast.target) & (forecast.target <= high)
    return (held.to(low.dtype).flatten(-2).mean(-1) - COVERED).abs()


def _pinball(quantile: Tensor, target: Tensor, level: float) -> Tensor:
    error = target - quantile
    return torch.maximum(level * error, (level - 1.0) * error).flatten(-2).mean(-1)


def _quantile(forecast: Forecast, level: float) -> Tensor:
    assert forecast.variance is not None
    return forecast.mean + NormalDist().inv_cdf(level) * forecast.variance.sqrt()


_FUNCTIONS = {
    "mase": mean_absolute_scaled_error,
    "rmse": root_mean_squared_error,
    "pinball": pinball,
    "coverage_error": coverage_error,
}

METRICS = {
    metric.name: metric
    for metric in (
        Metric("mase", False, 0.0, description="mean absolute error over that of the seasonal naive forecast"),
        Metric("rmse", False, 0.0, description="root mean square error"),
        Metric("pinball", False, 0.0, description="mean quantile loss"),
        Metric("coverage_error", False, 0.0, COVERED, "distance of an 80 % interval's coverage from 80 %"),
    )
}
"""By name."""


def metrics_of(kind: str) -> Mapping[str, Metric]:
    """The metrics of point or normal forecasts, by name."""
    return {name: metric for name, metric in METRICS.items() if kind == "normal" or name != "coverage_error"}


def measured(name: str, forecast: Forecast) -> Tensor:
    """The value of a metric."""
    return _FUNCTIONS[name](forecast)
