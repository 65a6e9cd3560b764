"""Reading images that have names."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from lossearch.tasks.datasets.conversions import NAMES
from lossearch.tasks.datasets.dataset import NamedImages
from lossearch.tasks.datasets.readers import damaged, file_of, parse_idx
from lossearch.tasks.datasets.rows import csv_columns


@dataclass(frozen=True)
class Named:
    """Images with names.

    Attributes:
        images: `[image, channel, height, width]`, uint8.
        names: of each.
        categories: of each.
    """

    images: npt.NDArray[np.uint8]
    names: Sequence[str]
    categories: Sequence[str]


def read_named_images(dataset: NamedImages, folder: Path) -> Named:
    """All images with their names.

    Raises:
        UserError: a file is missing or damaged, or holds other images than it should.
    """
    contents = {name: file_of(dataset, folder, name)[1] for name in dataset.files}
    try:
        images = parse_idx(next(content for name, content in contents.items() if name != NAMES))
        columns = csv_columns(contents[NAMES])
        found = Named(images, columns["name"], columns["category"])
    except (ValueError, KeyError) as error:
        raise damaged(dataset, folder, f"{type(error).__name__}: {error}") from error
    expected = (dataset.train_samples, *dataset.image_shape)
    if images.shape != expected or len(found.names) != dataset.train_samples:
        told = f"images {images.shape} and {len(found.names)} names, where the dataset has images {expected}"
        raise damaged(dataset, folder, told)
    return found
