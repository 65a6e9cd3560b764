"""Results of losses over many tasks taken together, as Agarwal et al. 2021 define them (rliable).

Values of a loss are `[task, seed]`, higher for the better.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from lossearch.comparison.statistics import ConfidenceInterval
from lossearch.errors import UserError
from lossearch.training.fitness import interquartile_mean, middle_half

Table = npt.NDArray[np.float64]

_CHUNK = 2_000_000  # values that are resampled at once


def interquartile_interval(
    values: Sequence[Sequence[float]] | Table, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> ConfidenceInterval:
    """The interquartile mean over all tasks and seeds, with a percentile interval of the stratified bootstrap.

    Seeds are resampled within each task, tasks stay: the interval says how sure the mean of these tasks is, nothing of
    others.
    """
    table = checked(values)
    tasks, runs = table.shape
    draw = np.random.default_rng(seed)
    found: list[npt.NDArray[np.float64]] = []
    left = resamples
    while left:
        rows = min(left, max(1, _CHUNK // table.size))
        picked = draw.integers(runs, size=(rows, tasks, runs))
        drawn = np.take_along_axis(np.broadcast_to(table, (rows, tasks, runs)), picked, axis=2)
        found.append(np.sort(drawn.reshape(rows, -1), axis=1) @ middle_half(table.size))
        left -= rows
    tail = (1 - confidence) / 2
    low, high = np.quantile(np.concatenate(found), [tail, 1 - tail])
    mean = interquartile_mean(table.ravel().tolist())
    method = "constant" if np.all(table == table.flat[0]) else "percentile"
    return ConfidenceInterval(mean, float(low), float(high), confidence, method)


def probability_of_improvement(a: Sequence[Sequence[float]] | Table, b: Sequence[Sequence[float]] | Table) -> float:
    """How likely a run of `a` is better than one of `b` on a task drawn at random; equal ones count half.

    The mean over tasks of the Mann-Whitney statistic over all pairs of runs, divided by their number.
    """
    first, second = checked(a), checked(b)
    if len(first) != len(second):
        raise UserError("values of both losses on the same tasks", f"{len(first)} and {len(second)} tasks", "pair them")
    differences = first[:, :, None] - second[:, None, :]
    return float(((differences > 0) + 0.5 * (differences == 0)).mean())


def performance_profile(values: Sequence[Sequence[float]] | Table, thresholds: Sequence[float]) -> list[float]:
    """For each threshold the share of runs, over all tasks, whose value is above it."""
    table = checked(values)
    return [float((table > threshold).mean()) for threshold in thresholds]


def checked(values: Any) -> Table:
    """Values as an array `[task, seed]`; raises `UserError` where they are none, or not finite."""
    try:
        table = np.asarray(values, dtype=np.float64)
    except ValueError:
        raise UserError("as many seeds on every task", "rows of different lengths", "use the same seeds") from None
    if table.ndim != 2 or not table.size:
        raise UserError("values [task, seed], at least one of each", f"shape {list(table.shape)}", "give a table")
    if not np.isfinite(table).all():
        raise UserError("finite values", f"{int((~np.isfinite(table)).sum())} that are not", "leave the task out")
    return table
