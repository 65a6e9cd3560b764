"""Scenes composed of handwritten digits, semi-synthetic: real digits on a plain, noisy ground at random places.

Each scene holds one digit in each quarter or leaves the quarter empty, so that digits never overlap.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lossearch.tasks.datasets.embedded import read_digits
from lossearch.tasks.streams import Stream, generator

SIDE = 32
"""Pixels of a scene's side."""

CELL = 8
"""Pixels of a grid cell's side: a digit belongs to the cell in which its centre lies."""

GRID = SIDE // CELL
_QUARTER = SIDE // 2
_SIZES = (8, 10, 12, 14)  # sides of the digits, pixels
_PRESENT = 0.75  # share of quarters that hold a digit
_GROUND = 0.15  # standard deviation of the ground's noise

BACKGROUND = 0
"""Class of a cell without a digit; class k + 1 is the digit k."""

CLASSES = 11
"""The background and ten digits."""

Array = npt.NDArray[np.float32]


@dataclass(frozen=True)
class Scenes:
    """Scenes with what is in them.

    Attributes:
        images: `[scene, 1, height, width]`, float32.
        classes: `[scene, row, column]`, int64: class of the digit whose centre is in the cell, or `BACKGROUND`.
        boxes: `[scene, object, 4]`, float32: x1, y1, x2, y2 in pixels; of an empty quarter zeros.
        cells: `[scene, object]`, int64: number of the cell of each quarter's digit, row by row; -1 where it is empty.
    """

    images: Array
    classes: npt.NDArray[np.int64]
    boxes: Array
    cells: npt.NDArray[np.int64]


def digits_of_part(part: str, split_seed: int) -> tuple[Array, npt.NDArray[np.int64]]:
    """Digits that scenes of one part are composed of: no digit is in scenes of two parts.

    Args:
        part: "train", "validation" or "test".
        split_seed: draws which digits belong to which part.
    """
    images, labels = read_digits()
    order = generator(split_seed, Stream.TEST_SPLIT).permutation(len(labels))
    bounds = {"train": (0, 1000), "validation": (1000, 1400), "test": (1400, len(labels))}[part]
    chosen = order[slice(*bounds)]
    return images[chosen, 0], labels[chosen]


def composed(digits: tuple[Array, npt.NDArray[np.int64]], count: int, seed: int, stream: Stream) -> Scenes:
    """Scenes of digits at random places in random sizes; the same for equal arguments."""
    images, labels = digits
    draw = generator(seed, stream)
    scenes = (_GROUND * draw.standard_normal((count, SIDE, SIDE))).astype(np.float32)
    classes = np.full((count, GRID, GRID), BACKGROUND, dtype=np.int64)
    boxes = np.zeros((count, 4, 4), dtype=np.float32)
    cells = np.full((count, 4), -1, dtype=np.int64)
    for scene in range(count):
        for quarter in range(4):
            if draw.random() > _PRESENT:
                continue
            size = int(draw.choice(_SIZES))
            left, top = (int(draw.integers(0, _QUARTER - size + 1)) for _ in range(2))
            left, top = left + _QUARTER * (quarter % 2), top + _QUARTER * (quarter // 2)
            digit = int(draw.integers(len(labels)))
            scenes[scene, top : top + size, left : left + size] += _resized(images[digit], size)
            row, column = (top + size // 2) // CELL, (left + size // 2) // CELL
            classes[scene, row, column] = labels[digit] + 1
            boxes[scene, quarter] = left, top, left + size, top + size
            cells[scene, quarter] = row * GRID + column
    return Scenes(scenes[:, None], classes, boxes, cells)


def _resized(image: Array, size: int) -> Array:
    """An image with `size` pixels a side, by bilinear interpolation between pixel centres."""
    places = (np.arange(size) + 0.5) * len(image) / size - 0.5
    low = np.clip(np.floor(places).astype(int), 0, len(image) - 1)
    high = np.clip(low + 1, 0, len(image) - 1)
    share = np.clip(places - low, 0.0, 1.0).astype(np.float32)
    rows = image[low] * (1 - share)[:, None] + image[high] * share[:, None]
    return (rows[:, low] * (1 - share) + rows[:, high] * share).astype(np.float32)
