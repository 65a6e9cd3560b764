"""What is made of the results of a loss on several tasks."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import numpy.typing as npt


def fitness(kind: str, values: Sequence[float]) -> float:
    """What is made of the gains or ranks on all tasks: their mean, interquartile mean, or the smallest.

    The interquartile mean leaves out a quarter of the tasks at either end, of those in between a part where a quarter
    is no whole number.
    """
    if kind == "worst":
        return min(values)
    if kind == "iqm":
        return interquartile_mean(values)
    return sum(values) / len(values)


def interquartile_mean(values: Sequence[float]) -> float:
    """The mean of the middle half, in which a value at the edge counts by the part of it that is inside."""
    ordered = np.sort(np.asarray(values, dtype=np.float64))
    return float(ordered @ middle_half(len(ordered)))


def middle_half(n: int) -> npt.NDArray[np.float64]:
    """The weight of each of `n` ordered values in their interquartile mean: those outside have none."""
    inside = np.minimum(np.arange(1, n + 1), 0.75 * n) - np.maximum(np.arange(n), 0.25 * n)
    return np.clip(inside, 0.0, None) / (0.5 * n)
