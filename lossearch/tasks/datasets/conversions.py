"""Files of a package that are made into others as they are fetched: many small ones into an idx file, read fast.

What is made depends on the package alone, so that its SHA-256 is known.
"""

from __future__ import annotations

import csv
import gzip
import io
import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

IMAGES = "train-images-idx3-ubyte"
"""Name of the file that conversions make: all images, class by class."""

NAMES = "names.csv"
"""Name of the file that conversions make of names: a row for each image, below a row of column names."""

LARGEST_FILE = 2**22
"""Bytes, unpacked, that a file of a package may have which is made into others, where a conversion allows no more."""

Files = Iterable[tuple[str, bytes]]
"""Names, from the folder on, and contents."""


@dataclass(frozen=True)
class Conversion:
    """How files of a package are made into those of a dataset.

    Attributes:
        suffix: of the files that are taken, or several.
        make: the dataset's files by name. Raises `ValueError` where there are others than expected.
        largest: bytes, unpacked, that one of these files may have.
    """

    suffix: str | tuple[str, ...]
    make: Callable[[Files], Mapping[str, bytes]]
    largest: int = LARGEST_FILE


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
            images[place] = _pixels(found[name], name, "PPM", ("L",), (width, height))
        return {IMAGES: idx_of(images)}

    return Conversion(".pgm", make)


def sheets(batches: int, per_batch: int, side: int) -> Conversion:
    """Colour images as rows of `data_batch_1.png` …, and of `test_batch.png`; labels as JSON lists (their names: sic).

    A row holds the pixels of one image, row by row. In the idx files that are made channels come before rows.
    """
    batch_files = [f"data_batch_{number}.png" for number in range(1, batches + 1)]
    label_files = {"train_lables.json": batches * per_batch, "test_lables.json": per_batch}

    def make(files: Files) -> Mapping[str, bytes]:
        images: dict[str, npt.NDArray[np.uint8]] = {}
        labels: dict[str, npt.NDArray[np.uint8]] = {}
        for name, content in files:  # one by one, as they are large
            if name in label_files:
                numbers = np.array(json.loads(content))
                if numbers.shape != (label_files[name],) or not np.isin(numbers, range(256)).all():
                    raise ValueError(f"{name}: not {label_files[name]} whole numbers from 0 to 255")
                labels[name] = numbers.astype(np.uint8)
            else:
                rows = _pixels(content, name, "PNG", ("RGB",), (side * side, per_batch))
                images[name] = rows.reshape(per_batch, side, side, 3).transpose(0, 3, 1, 2)
        _require({*images, *labels}, {*batch_files, "test_batch.png", *label_files})
        return {
            "train-images-idx4-ubyte": idx_of(np.concatenate([images[name] for name in batch_files])),
            "train-labels-idx1-ubyte": idx_of(labels["train_lables.json"]),
            "t10k-images-idx4-ubyte": idx_of(images["test_batch.png"]),
            "t10k-labels-idx1-ubyte": idx_of(labels["test_lables.json"]),
        }

    return Conversion((".png", "_lables.json"), make, largest=2**25)


def tiles(names: Sequence[str], per_photograph: int, side: int) -> Conversion:
    """Squares cut out of photographs, evenly over each; of colours the luminance 0.299 R + 0.587 G + 0.114 B."""

    def make(files: Files) -> Mapping[str, bytes]:
        found = {name.removesuffix(".png"): content for name, content in files if name.removesuffix(".png") in names}
        _require(set(found), set(names))
        cut = np.concatenate([_tiles(_luminance(found[name], name), name, per_photograph, side) for name in names])
        return {IMAGES: idx_of(cut)}

    return Conversion(".png", make)


def emoji(sheet: str, count: int, side: int, flags: str = "Flags") -> Conversion:
    """Emoji on white out of a sheet with a margin of one pixel round each, and a table of their names.

    Of several that look the same the first is taken, and flags are left out: no picture tells the name of a country.

    Args:
        sheet: file name of the sheet.
        count: how many are left.
        side: of each, pixels.
        flags: the category that is left out.
    """

    def make(files: Files) -> Mapping[str, bytes]:
        found = dict(files)
        _require(set(found), {sheet, "emoji.json"})
        table = json.loads(found["emoji.json"])
        width = (1 + max(max(row["sheet_x"], row["sheet_y"]) for row in table)) * (side + 2)
        whole = _pixels(found[sheet], sheet, "PNG", ("RGBA",), (width, width)).astype(np.int64)
        images: dict[bytes, npt.NDArray[np.uint8]] = {}
        names = io.StringIO()
        writer = csv.writer(names, lineterminator="\n")
        writer.writerow(["name", "category"])
        for row in table:
            top, left = (row[axis] * (side + 2) + 1 for axis in ("sheet_y", "sheet_x"))
            colour, opacity = np.split(whole[top : top + side, left : left + side], [3], 2)
            image = ((colour * opacity + 255 * (255 - opacity) + 127) // 255).astype(np.uint8).transpose(2, 0, 1)
            if row["category"] != flags and image.tobytes() not in images:
                images[image.tobytes()] = image
                writer.writerow([row["name"], row["category"]])
        if len(images) != count:
            raise ValueError(f"{len(images)} different emoji where there should be {count}")
        return {"train-images-idx4-ubyte": idx_of(np.stack(list(images.values()))), NAMES: names.getvalue().encode()}

    return Conversion((sheet, "emoji.json"), make, largest=2**23)


def _luminance(content: bytes, name: str) -> npt.NDArray[np.uint8]:
    pixels = _pixels(content, name, "PNG", ("L", "RGB"))
    if pixels.ndim == 2:
        return pixels
    return ((pixels.astype(np.int64) @ np.array([299, 587, 114]) + 500) // 1000).astype(np.uint8)


def _tiles(image: npt.NDArray[np.uint8], name: str, count: int, side: int) -> npt.NDArray[np.uint8]:
    rows, columns = image.shape[0] // side, image.shape[1] // side
    if rows * columns < count:
        raise ValueError(f"{name}: {rows * columns} squares where there should be {count}")
    whole = image[: rows * side, : columns * side].reshape(rows, side, columns, side).swapaxes(1, 2)
    return whole.reshape(-1, side, side)[np.linspace(0, rows * columns - 1, count).round().astype(int)]


def _pixels(
    content: bytes, name: str, kind: str, modes: tuple[str, ...], size: tuple[int, int] | None = None
) -> npt.NDArray[np.uint8]:
    """The pixels of an image file, whose kind, mode and (width, height) must be these."""
    from PIL import Image  # costs time that only a fetch should take

    try:
        with Image.open(io.BytesIO(content), formats=[kind]) as image:
            if image.mode not in modes or image.size != (size or image.size):
                raise ValueError(f"mode {image.mode}, size {image.size}; expected {' or '.join(modes)}, {size}")
            return np.asarray(image)
    except (OSError, SyntaxError, ValueError) as error:
        raise ValueError(f"{name}: {type(error).__name__}: {error}") from error


def _require(found: set[str], wanted: set[str]) -> None:
    if found != wanted:
        told = ", ".join(sorted(found ^ wanted)[:3])
        raise ValueError(f"{len(found)} files where there should be {len(wanted)}; they differ in {told}")
