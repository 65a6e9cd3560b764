"""Tables of numbers with a target to predict."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Array = npt.NDArray[np.float64]


@dataclass(frozen=True)
class Table:
    """What is known of a table before any of it is read.

    Attributes:
        rows: samples.
        read: features `[row, feature]` and targets `[row]`.
        description: one line.
        origin: who made it (author, year).
    """

    rows: int
    read: Callable[[], tuple[Array, Array]]
    description: str
    origin: str


def _diabetes() -> tuple[Array, Array]:
    from sklearn.datasets import load_diabetes  # costs a second to import

    features, targets = load_diabetes(return_X_y=True, scaled=False)
    return np.asarray(features, dtype=np.float64), np.asarray(targets, dtype=np.float64)


TABLES = {
    "diabetes": Table(
        442,
        _diabetes,
        "progression of diabetes after one year from 10 measurements (embedded in scikit-learn)",
        "Efron, Hastie, Johnstone and Tibshirani 2004",
    )
}
"""By name."""
