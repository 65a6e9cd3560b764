"""Reading recordings of sensors. Pickled ones are read without running anything: nothing but arrays is made of them."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lossearch.tasks.datasets.dataset import Recordings
from lossearch.tasks.datasets.pickled_arrays import unpickled_arrays
from lossearch.tasks.datasets.readers import damaged, file_of


@dataclass(frozen=True)
class Recorded:
    """Recordings of one length each.

    Attributes:
        values: of each recording `[step, sensor]`, float32.
        labels: `[recording]`, 0 … classes - 1.
        people: `[recording]`, who was recorded, numbered from 0; where nobody tells, each recording has its own number.
    """

    values: Sequence[npt.NDArray[np.float32]]
    labels: npt.NDArray[np.int64]
    people: npt.NDArray[np.int64]


def read_recordings(dataset: Recordings, folder: Path) -> Recorded:
    """All recordings of all files, one file after the other.

    Raises:
        UserError: a file is missing or damaged, or holds other recordings than it should.
    """
    parts: list[Recorded] = []
    for name in dataset.files:
        path, content = file_of(dataset, folder, name)
        try:
            parts.append(_READERS[Path(name).suffix](content, dataset.classes))
        except (ValueError, LookupError, TypeError, AttributeError) as error:
            raise damaged(dataset, path, f"{type(error).__name__}: {error}") from error
    values = [recording for part in parts for recording in part.values]
    labels, people = (np.concatenate(arrays) for arrays in zip(*((p.labels, p.people) for p in parts), strict=True))
    names, numbers, counts = np.unique(people, return_inverse=True, return_counts=True)
    found = Recorded(values, labels, numbers if dataset.people else np.arange(len(values)))
    if told := _faults(dataset, found, len(names), counts):
        raise damaged(dataset, folder, told)
    return found


def _faults(dataset: Recordings, found: Recorded, people: int, of_each: npt.NDArray[np.int64]) -> str:
    """What is wrong, or nothing."""
    if {len(found.values), len(found.labels)} != {dataset.train_samples}:
        return f"{len(found.values)} recordings, where the dataset has {dataset.train_samples}"
    if any(one.ndim != 2 or one.shape[1] != dataset.sensors or not len(one) for one in found.values):
        return f"recordings that are not of {dataset.sensors} sensors"
    if not all(np.isfinite(one).all() for one in found.values):
        return "values that are not finite"
    if found.labels.min() < 0 or found.labels.max() >= len(dataset.classes):
        return f"a class that is none of the {len(dataset.classes)}"
    if dataset.people and (people != dataset.people or len(set(of_each.tolist())) != 1):
        return f"{people} people, where {dataset.people} were recorded as often each"
    return ""


def _npy(content: bytes, classes: Sequence[str]) -> Recorded:
    """A dictionary, pickled by Python 2 into an array of one object."""
    file = io.BytesIO(content)
    version = np.lib.format.read_magic(file)
    if version != (1, 0):
        raise ValueError(f"version {version} of the format, expected (1, 0)")
    np.lib.format.read_array_header_1_0(file)
    table = unpickled_arrays(file).item()
    if not isinstance(table, dict):
        raise ValueError(f"{type(table).__name__}, expected a dictionary")
    values = [np.asarray(one, dtype=np.float32) for one in table["X"]]
    labels, people = (np.asarray(table[name], dtype=np.int64).reshape(len(values)) for name in ("y", "subject"))
    return Recorded(values, labels, people)


def _ts(content: bytes, classes: Sequence[str]) -> Recorded:
    """Text: sensors by colons, steps by commas, the class at the end."""
    lines = content.decode().splitlines()
    rows = [line.split(":") for line in lines[lines.index("@data") + 1 :] if line]
    values = [np.array([sensor.split(",") for sensor in row[:-1]], dtype=np.float32).T for row in rows]
    labels = np.array([classes.index(row[-1]) for row in rows], dtype=np.int64)
    return Recorded(values, labels, np.zeros(len(rows), dtype=np.int64))


_READERS = {".npy": _npy, ".ts": _ts}
"""By the ending of a file's name."""
