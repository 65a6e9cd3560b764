"""Reading the weights of networks that were trained elsewhere."""

from __future__ import annotations

import io
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lossearch.tasks.datasets.dataset import Weights
from lossearch.tasks.datasets.pickled_arrays import unpickled_arrays
from lossearch.tasks.datasets.readers import damaged, file_of

WeightsByPath = Mapping[str, npt.NDArray[np.float32]]
"""Weights by their path, such as `AlexNet_0/Conv_1/bias`."""


def read_weights(dataset: Weights, folder: Path) -> WeightsByPath:
    """All weights of a network.

    Raises:
        UserError: the file is missing or damaged.
    """
    (name,) = dataset.files
    path, content = file_of(dataset, folder, name)
    try:
        return dict(_leaves(unpickled_arrays(io.BytesIO(content))))
    except ValueError as error:
        raise damaged(dataset, path, f"{type(error).__name__}: {error}") from error


def _leaves(tree: Any, path: str = "") -> Iterator[tuple[str, npt.NDArray[np.float32]]]:
    if isinstance(tree, dict):
        for name, branch in tree.items():
            yield from _leaves(branch, f"{path}/{name}" if path else name)
    elif isinstance(tree, np.ndarray) and tree.dtype.kind == "f":
        yield path, tree.astype(np.float32)
    else:
        raise ValueError(f"{path or 'the file'} is neither a dictionary nor an array of numbers")
