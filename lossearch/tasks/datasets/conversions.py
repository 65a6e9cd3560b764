"""Files of a package that are made into others as they are fetched: many small ones into an idx file, read fast.

What is made depends on the package alone, so that its SHA-256 is known.
"""

from __future__ import annotations

import gzip
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IMAGES = "train-images-idx3-ubyte"
"""Name of the file that conversions make: all images, class by class."""

LARGEST_FILE = 2**22
"""Bytes, unpacked, that a file of a package may have which is made into others."""

Files = Iterable[tuple[str, bytes]]
"""Names, from the folder on, and contents."""


@dataclass(frozen=True)
class Conversion:
    """How files of a package are made into those of a dataset.

    Attributes:
        suffix: of the files that are taken.
        make: the dataset's files by name. Raises `ValueError` where there are others than expected.
    """

    suffix: str
    make: Callable[[Files], Mapping[str, bytes]]


def idx_of(images: npt.NDArray[np.uint8]) -> bytes:
    """An idx file of bytes: 0, 0, 8, the rank, the sizes as big-endian int32, then the data."""
    return bytes([0, 0, 8, images.ndim]) + np.array(images.shape, dtype=">i4").tobytes() + images.tobytes()


def sketches(classes: Sequence[str], per_class: int, side: int) -> Conversion:
    """Sketches in one packed file a class, one a line as a JSON list of grey levels in [0, 1], row by row.

    Levels are rounded to 256.
    """

    def make(files: Files) -> Mapping[str, bytes]:
        found = {name.removesuffix(".ndjson.gz"): content for name, content in files}
        _require(set(found), set(classes))
        images = np.empty((len(classes), per_class, side, side), dtype=np.uint8)
        for label, name in enumerate(classes):
            with gzip.GzipFile(fileobj=io.BytesIO(found[name])) as packed:
                text = packed.read(LARGEST_FILE)
            levels = np.array([json.loads(line) for line in text.splitlines() if line.strip()], dtype=np.float64)
            images[label] = np.rint(255 * levels.reshape(per_class, side, side)).clip(0, 255).astype(np.uint8)
        return {IMAGES: idx_of(images.reshape(-1, side, side))}

    return Conversion(".ndjson.gz", make)


def faces(people: int, per_person: int, height: int, width: int) -> Conversion:
    """Photographs as `s1/1.pgm`, by person and number, both from 1."""

    def make(files: Files) -> Mapping[str, bytes]:
        found = dict(files)
        names = [f"s{person}/{number}.pgm" for person in range(1, people + 1) for number in range(1, per_person + 1)]
        _require(set(found), set(names))
        images = np.empty((len(names), height, width), dtype=np.uint8)
        for place, name in enumerate(names):
            images[place] = _grey(found[name], name, height, width)
        return {IMAGES: idx_of(images)}

    return Conversion(".pgm", make)


def _grey(content: bytes, name: str, height: int, width: int) -> npt.NDArray[np.uint8]:
    from PIL import Image  # costs time that only a fetch should take

    try:
        with Image.open(io.BytesIO(content), formats=["PPM"]) as image:
            if (image.mode, image.size) != ("L", (width, height)):
                raise ValueError(f"mode {image.mode}, size {image.size}; expected L, {(width, height)}")
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{name}: {type(error).__name__}: {error}") from error


def _require(found: set[str], wanted: set[str]) -> None:
    if found != wanted:
        told = ", ".join(sorted(found ^ wanted)[:3])
        raise ValueError(f"{len(found)} files where there should be {len(wanted)}; they differ in {told}")
