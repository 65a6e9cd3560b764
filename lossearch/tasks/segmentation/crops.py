"""Cutting a film into training, validation and test crops; splits share no frame."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lossearch.errors import UserError
from lossearch.tasks.datasets.data import Film
from lossearch.tasks.segmentation.config import SegmentationConfig
from lossearch.tasks.streams import Stream, generator, redrawn


@dataclass(frozen=True)
class Crops:
    """Squares out of frames.

    Attributes:
        images: `[sample, crop, crop]`, float32, as in the film.
        labels: `[sample, crop, crop]`, int64; 1 where there is an object.
    """

    images: npt.NDArray[np.float32]
    labels: npt.NDArray[np.int64]


def search_frames(config: SegmentationConfig, frames: int) -> range:
    """Frames for training and validation: all but those of the test split and the one before them."""
    return range(frames - config.test_frames - 1)


def test_frames(config: SegmentationConfig, frames: int) -> range:
    """Frames of the test split: the last."""
    return range(frames - config.test_frames, frames)


test_frames.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


def search_crops(config: SegmentationConfig, film: Film, run_seed: int | None = None) -> tuple[Crops, Crops]:
    """Training and validation crops.

    Args:
        config: the task.
        film: its search frames.
        run_seed: of a training that draws its own; None for those that `config.split_seed` alone draws.

    Raises:
        UserError: no training pixel, or no validation pixel, shows an object.
    """
    seed = config.split_seed if run_seed is None else redrawn(config.split_seed, run_seed)
    first = len(film.images) - config.val_frames
    train, validation = np.arange(first - 1), np.arange(first, len(film.images))
    draws = generator(seed, Stream.TRAIN_SUBSET), generator(seed, Stream.VALIDATION_SPLIT)
    found = (
        _cut(_marked(film, config.missing, seed), config.crop, _anywhere(config, film, train, draws[0])),
        _cut(film, config.crop, _tiles(config, film, validation, config.val_size, draws[1])),
    )
    for split, crops in zip(("training", "validation"), found, strict=True):
        if not crops.labels.any():
            hint = "raise train_size, val_size or objects, or take another split_seed"
            raise UserError(f"objects in the {split} crops of {config.name}", "none", hint)
    return found


def test_crops(config: SegmentationConfig, film: Film) -> Crops:
    """Test crops, the same for every seed.

    Args:
        config: the task.
        film: its test frames.
    """
    draw = generator(config.split_seed, Stream.TEST_SPLIT)
    return _cut(film, config.crop, _tiles(config, film, np.arange(len(film.images)), config.test_size, draw))


test_crops.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


_Places = npt.NDArray[np.int64]  # frame, top and left of each crop


def _anywhere(
    config: SegmentationConfig, film: Film, frames: npt.NDArray[np.int64], draw: np.random.Generator
) -> _Places:
    """Training crops; those around objects are moved inwards where they would reach over an edge."""
    _, height, width = film.images.shape
    highest = np.array([height - config.crop, width - config.crop])
    places = np.column_stack(
        [draw.choice(frames, config.train_size), draw.integers(highest + 1, size=(config.train_size, 2))]
    )
    inside = np.argwhere(film.objects[frames] > 0)
    centred = round(config.objects * config.train_size) if len(inside) else 0
    if centred:
        chosen = inside[draw.integers(len(inside), size=centred)]
        places[:centred, 0] = frames[chosen[:, 0]]
        places[:centred, 1:] = np.clip(chosen[:, 1:] - config.crop // 2, 0, highest)
    return places


def _marked(film: Film, missing: float, seed: int) -> Film:
    """The film with a fraction of every frame's objects left out of its mask."""
    if missing == 0.0:
        return film
    objects = film.objects.copy()
    for frame, mask in enumerate(objects):
        numbers = np.setdiff1d(mask, [0])
        left_out = generator(seed, Stream.NOISE, frame).permutation(numbers)[: round(missing * len(numbers))]
        mask[np.isin(mask, left_out)] = 0
    return Film(film.images, objects)


def _tiles(
    config: SegmentationConfig, film: Film, frames: npt.NDArray[np.int64], size: int, draw: np.random.Generator
) -> _Places:
    """Crops out of a grid, each at most once."""
    _, height, width = film.images.shape
    rows, columns = height // config.crop, width // config.crop
    frame, row, column = np.unravel_index(
        draw.permutation(len(frames) * rows * columns)[:size], (len(frames), rows, columns)
    )
    return np.column_stack([frames[frame], row * config.crop, column * config.crop])


def _cut(film: Film, side: int, places: _Places) -> Crops:
    squares = [(frame, slice(top, top + side), slice(left, left + side)) for frame, top, left in places]
    images = np.stack([film.images[square] for square in squares])
    labels = np.stack([film.objects[square] > 0 for square in squares])
    return Crops(images.astype(np.float32), labels.astype(np.int64))
