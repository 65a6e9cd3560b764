"""Reading films: frames and masks out of TIFF files, one page a frame."""

from __future__ import annotations

import io
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from lossearch.tasks.datasets.dataset import Frames
from lossearch.tasks.datasets.readers import damaged, file_of

_MODES = {8: "L", 16: "I;16"}
"""What Pillow calls pages of one unsigned number of so many bits a pixel."""


@dataclass(frozen=True)
class Film:
    """Some frames of a film.

    Attributes:
        images: `[frame, height, width]`, uint8 or uint16.
        objects: `[frame, height, width]`, uint16; 0 is background, else the number of an object.
    """

    images: npt.NDArray[np.uint8 | np.uint16]
    objects: npt.NDArray[np.uint16]


def read_frames(dataset: Frames, folder: Path, frames: Sequence[int]) -> Film:
    """Frames of a film and their masks; no others are decoded.

    Raises:
        UserError: a file is missing or damaged.
    """
    images = _pages(dataset, folder, dataset.images, frames, dataset.bits)
    return Film(images, _pages(dataset, folder, dataset.masks, frames, 16))


def _pages(dataset: Frames, folder: Path, name: str, frames: Sequence[int], bits: int) -> npt.NDArray[Any]:
    mode, kind = _MODES[bits], np.dtype(f"uint{bits}")
    path, content = file_of(dataset, folder, name)
    _, height, width = dataset.image_shape
    try:
        # Pillow decodes a page when it is asked for, after its size was looked at here.
        with Image.open(io.BytesIO(content), formats=["TIFF"]) as image:
            pages = getattr(image, "n_frames", 1)
            if pages != dataset.train_samples:
                raise ValueError(f"{pages} pages, where the dataset has {dataset.train_samples}")
            found = np.empty((len(frames), height, width), dtype=kind)
            for place, frame in enumerate(frames):
                image.seek(frame)
                if (image.mode, image.size) != (mode, (width, height)):
                    expected = f"expected {mode}, {(width, height)}"
                    raise ValueError(f"page {frame} is of mode {image.mode}, size {image.size}; {expected}")
                found[place] = np.asarray(image)
    except (OSError, SyntaxError, ValueError, UnidentifiedImageError) as error:
        raise damaged(dataset, path, f"{type(error).__name__}: {error}") from error
    return found
