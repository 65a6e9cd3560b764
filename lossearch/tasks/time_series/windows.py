"""Cutting series into windows; those of different parts share no step."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lossearch.tasks.streams import Stream, generator
from lossearch.tasks.time_series.config import TimeSeriesConfig
from lossearch.tasks.time_series.series import Array


@dataclass(frozen=True)
class Parts:
    """The parts of a data set: `[series, step]` each.

    Attributes:
        train: for training.
        validation: for validation.
        test: for the test split alone.
    """

    train: Array
    validation: Array
    test: Array


def split(config: TimeSeriesConfig, values: Array, seed: int) -> Parts:
    """One series in time, the test part last; of many the test series by the configuration's seed, the others by this.

    Args:
        config: the task.
        values: `[series, step]`.
        seed: draws training and validation series where there are many.
    """
    train, validation, test = config.parts()
    if config.series.count == 1:
        return Parts(*np.split(values, [train, train + validation], axis=1))
    order = generator(config.split_seed, Stream.TEST_SPLIT).permutation(len(values))
    held, rest = order[:test], np.sort(order[test:])
    rest = rest[generator(seed, Stream.TRAIN_SUBSET).permutation(len(rest))]
    return Parts(values[rest[:train]], values[rest[train:]], values[held])


def with_spikes(config: TimeSeriesConfig, values: Array, seed: int) -> Array:
    """Training values of which some are wrong."""
    draw = generator(seed, Stream.NOISE)
    wrong = draw.permutation(values.size)[: round(config.spikes * values.size)]
    found = values.copy()
    found.reshape(-1)[wrong] += config.spike_size * values.std()
    return found


def windows(config: TimeSeriesConfig, values: Array) -> tuple[Array, Array]:
    """What a forecast is made from, and what is forecast: `[window, step]` each.

    The mean of the past is taken off both, so that a series may rise to where it never was.
    """
    spans = np.lib.stride_tricks.sliding_window_view(values, config.span, axis=1).reshape(-1, config.span)
    spans = spans - spans[:, : config.window].mean(1, keepdims=True)
    return spans[:, : config.window], spans[:, config.window :]


def naive_error(config: TimeSeriesConfig, train: Array) -> float:
    """Mean absolute difference between training values one season apart."""
    season = config.series.season
    return float(np.abs(train[:, season:] - train[:, :-season]).mean())
