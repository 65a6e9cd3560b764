"""Boxes, numbers and the components of a combination."""

from __future__ import annotations

from dataclasses import replace

import torch

from lossearch.report.sweep import Sweep, SweepSizes, grid, sweeps
from lossearch.report.sweeps.common import NUMBERS, error, vector

_BOX = 10.0


@sweeps("box")
def _box(sizes: SweepSizes) -> tuple[Sweep, ...]:
    target, right = vector(0.0, 0.0, _BOX, _BOX)[None], vector(1.0, 0.0, 1.0, 0.0)
    axis = f"overlap of two {_BOX:g} × {_BOX:g} boxes in widths, a gap below 0"
    return (
        Sweep(
            axis,
            "dL/d(overlap)",
            grid(-1.0, 1.0),
            lambda overlap: (target + _BOX * (1.0 - overlap) * right, target),
            ("boxes",),
            ideal=1.0,
            untrained=0.5,
        ),
    )


@sweeps("regression")
def _regression(sizes: SweepSizes) -> tuple[Sweep, ...]:
    return (error(lambda e: (NUMBERS + e, NUMBERS), "prediction"),)


@sweeps("regression_quantiles")
def _regression_quantiles(sizes: SweepSizes) -> tuple[Sweep, ...]:
    count = sizes.lengths.get("quantile", 1)
    several = NUMBERS[:, None].expand(-1, count, -1)
    return (error(lambda e: (several + e, NUMBERS), "prediction", f"error, the same of {count} quantiles"),)


@sweeps("regression_variance")
def _regression_variance(sizes: SweepSizes) -> tuple[Sweep, ...]:
    ones = torch.ones_like(NUMBERS)
    variance = Sweep(
        "predicted variance, at an error of 1",
        "dL/d(variance)",
        grid(0.1, 4.0),
        lambda v: (NUMBERS + 1.0, NUMBERS, v * ones),
        ("variance",),
        ideal=1.0,
        untrained=4.0,
    )
    return (error(lambda e: (NUMBERS + e, NUMBERS, ones), "prediction", "error, at variance 1"), variance)


@sweeps("regression_counts")
def _regression_counts(sizes: SweepSizes) -> tuple[Sweep, ...]:
    counts = vector(2.0)[None]
    return (
        error(lambda e: (counts.log() + e, counts), "log_mean", "error of the logarithm of the mean, at a count of 2"),
    )


@sweeps("regression_vector")
def _regressionvector(sizes: SweepSizes) -> tuple[Sweep, ...]:
    target, first = vector(1.0, 2.0)[None], vector(1.0, 0.0)
    precision = torch.tensor([[1.0, 0.5], [0.5, 1.0]], dtype=torch.float64)
    axis = "error of the first of two entries, of precision 1"
    one = error(lambda e: (target + e * first, target), "prediction", axis)
    return (replace(one, buffers={"precision": precision}),)


@sweeps("survival")
def _survival(sizes: SweepSizes) -> tuple[Sweep, ...]:
    """The last of three, who are told apart by their times; the others' risks are those of their times."""
    times, last = vector(1.0, 2.0, 4.0), vector(0.0, 0.0, 1.0)

    def one(event: float, told: str) -> Sweep:
        seen = vector(1.0, 1.0, event)
        return error(lambda e: (-times.log() + e * last, times, seen), "log_risk", f"excess of the log-risk, {told}")

    return one(1.0, "event at 4, after two others"), one(0.0, "censored at 4, after two events")
