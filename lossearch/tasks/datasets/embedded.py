"""Data sets that scikit-learn brings, read without importing it, which takes seconds of every process."""

from __future__ import annotations

import gzip
import importlib.util
import zlib
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lossearch.errors import UserError
from lossearch.reading import read_bytes
from lossearch.tasks.datasets.registry import DIGITS

_DIABETES = 442, 10
"""Rows and features."""


def embedded_folder() -> Path:
    """Where scikit-learn keeps its data sets.

    Raises:
        UserError: it is not installed.
    """
    found = importlib.util.find_spec("sklearn")
    if found is None or not found.submodule_search_locations:
        raise UserError("scikit-learn, which brings data sets", "no such package", "install scikit-learn")
    return Path(found.submodule_search_locations[0]) / "datasets" / "data"


def read_digits() -> tuple[np.ndarray, np.ndarray]:
    """The digits of scikit-learn: images `[1797, 1, 8, 8]` float32 in [0, 1], labels `[1797]` int64.

    Raises:
        UserError: the installed scikit-learn has no such file, or it is damaged.
    """
    # 64 grey levels from 0 to 16 and the label on each line
    table = _table("digits", "digits.csv.gz", (DIGITS.train_samples, 65), ",").astype(np.float32)
    return table[:, :-1].reshape(DIGITS.train_samples, *DIGITS.image_shape) / 16, table[:, -1].astype(np.int64)


def read_diabetes() -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Ten measurements of each of 442 patients and how far their diabetes had progressed after a year.

    Returns:
        `[442, 10]` as measured, and `[442]`.

    Raises:
        UserError: the installed scikit-learn has no such files, or they are damaged.
    """
    features = _table("diabetes", "diabetes_data_raw.csv.gz", _DIABETES)
    return features, _table("diabetes", "diabetes_target.csv.gz", (_DIABETES[0], 1))[:, 0]


def _table(name: str, file: str, shape: tuple[int, int], delimiter: str | None = None) -> npt.NDArray[np.float64]:
    path = embedded_folder() / file
    what, hint = f"scikit-learn's {name} in {path}", "install scikit-learn again"
    try:
        lines = gzip.decompress(read_bytes(path, what, hint)).decode().splitlines()
        if not lines:
            raise ValueError("no line")
        return np.loadtxt(lines, delimiter=delimiter).reshape(shape)
    except (OSError, EOFError, ValueError, zlib.error) as error:
        raise UserError(what, f"{type(error).__name__}: {error}", hint) from error
