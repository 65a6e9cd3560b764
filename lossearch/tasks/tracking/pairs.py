"""Pairs of a nucleus in one frame and the region that it is searched in, in a later frame; splits share neither."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt

from lossearch.errors import UserError
from lossearch.tasks.datasets.data import Film, load_frames
from lossearch.tasks.streams import Stream, generator, redrawn
from lossearch.tasks.tracking.config import TrackingConfig
from lossearch.tasks.tracking.models import EXEMPLAR, SEARCH
from lossearch.tasks.tracking.nuclei import Sighting, sightings

SHRINK = 4
"""Pixels of the film, a side, of which one is made, their mean."""

SHIFT = 8
"""Pixels by which a nucleus lies off the middle of the region that is searched, at most, either way."""

Array = npt.NDArray[np.floating]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Followed:
    """The first times of a film.

    Attributes:
        images: `[time, depth, height, width]`, logarithms of brightness, shrunk, with a margin of background around.
        seen: all nuclei in them.
    """

    images: Array
    seen: Sequence[Sighting]


@dataclass(frozen=True)
class Pairs:
    """What a tracker is given, in shrunk pixels.

    Attributes:
        exemplars: `[sample, side, side]`, the nucleus in the middle.
        searches: `[sample, side, side]`, the nucleus within `SHIFT` of the middle.
        sizes: width and height of the box in the exemplar: `[sample, 2]`.
        boxes: x1, y1, x2, y2 in the search region: `[sample, 4]`.
    """

    exemplars: Array
    searches: Array
    sizes: Array
    boxes: Array


def followed(config: TrackingConfig, times: int) -> Followed:
    """The first `times` of the film.

    Raises:
        UserError: the film is missing or damaged.
    """
    depths = config.film.depths
    frames = [time * depths + depth for time in range(times) for depth in range(config.depths)]
    film = load_frames(config.dataset, frames)
    return Followed(_shrunk(film, times), sightings(film.objects, config.depths))


def search_pairs(config: TrackingConfig, film: Followed, run_seed: int | None = None) -> tuple[Pairs, Pairs]:
    """Training and validation pairs. Wrong boxes are in the training pairs alone.

    Args:
        config: the task.
        film: times of training and validation.
        run_seed: of a training that draws its own; None for those that `config.split_seed` alone draws.

    Raises:
        UserError: fewer nuclei are seen than the splits take, or none of a split is seen twice.
    """
    seed = config.split_seed if run_seed is None else redrawn(config.split_seed, run_seed)
    rest = np.setdiff1d(_known(film), _test_nuclei(config, film))
    nuclei = generator(seed, Stream.VALIDATION_SPLIT).permutation(rest)
    last = config.train_times + config.val_times
    own, others = nuclei[config.val_nuclei :][: config.train_nuclei], nuclei[: config.val_nuclei]
    train = _drawn(config, film, own, range(config.train_times), config.train_size, seed)
    validation = _drawn(config, film, others, range(config.train_times, last), config.val_size, seed)
    return _with_wrong_boxes(config, train, seed), validation


def test_pairs(config: TrackingConfig) -> Pairs:
    """Test pairs, the same for every seed; the film is read anew, now with its last times.

    Which nuclei they are was drawn of those that are seen before.
    """
    first = config.train_times + config.val_times
    film = followed(config, first + config.test_times)
    before = Followed(film.images, [one for one in film.seen if one.time < first])
    times = range(first, first + config.test_times)
    return _drawn(config, film, _test_nuclei(config, before), times, config.test_size, config.split_seed)


test_pairs.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


def _known(film: Followed) -> Indices:
    return np.unique([one.nucleus for one in film.seen])


def _test_nuclei(config: TrackingConfig, film: Followed) -> Indices:
    known = _known(film)
    wanted = config.train_nuclei + config.val_nuclei + config.test_nuclei
    if len(known) < wanted:
        required = f"{wanted} nuclei for train, validation and test"
        raise UserError(required, f"{len(known)} in {config.dataset}", "lower train_nuclei, val_nuclei or test_nuclei")
    return generator(config.split_seed, Stream.TEST_SPLIT).permutation(known)[: config.test_nuclei]


def _drawn(config: TrackingConfig, film: Followed, nuclei: Indices, times: range, size: int, seed: int) -> Pairs:
    """Pairs of frames of one depth, the searched one later, of some nuclei at some times."""
    seen = [one for one in film.seen if one.nucleus in nuclei and one.time in times]
    pairs = [
        (one, other)
        for one in seen
        for other in seen
        if one.nucleus == other.nucleus and one.depth == other.depth and 0 < other.time - one.time <= config.reach
    ]
    if not pairs:
        required = f"nuclei that are seen at two of the times {times.start} to {times.stop - 1}"
        raise UserError(required, "none", "take more times or more nuclei")
    draw = generator(seed, Stream.TRAIN_SUBSET, times.start)
    chosen = [pairs[place] for place in draw.integers(len(pairs), size=size).tolist()]
    shifts = draw.integers(-SHIFT, SHIFT + 1, size=(size, 2))
    cut = [_cut(film.images, one, other, shift) for (one, other), shift in zip(chosen, shifts, strict=True)]
    exemplars, searches, sizes, boxes = (np.stack(arrays).astype(np.float32) for arrays in zip(*cut, strict=True))
    return Pairs(exemplars, searches, sizes, boxes)


def _with_wrong_boxes(config: TrackingConfig, pairs: Pairs, seed: int) -> Pairs:
    draw = generator(seed, Stream.NOISE)
    wrong = draw.choice(config.train_size, size=round(config.wrong_boxes * config.train_size), replace=False)
    boxes = pairs.boxes.copy()
    boxes[wrong] = grown(boxes[wrong], draw)
    return replace(pairs, boxes=boxes)


def grown(boxes: Array, draw: np.random.Generator) -> Array:
    """Boxes `[sample, 4]` twice as wide and as high, of which one corner, that is drawn, stays where it is."""
    size = boxes[:, 2:] - boxes[:, :2]
    low = boxes[:, :2] - size * draw.integers(2, size=size.shape)
    return np.concatenate([low, low + 2 * size], 1).astype(np.float32)


def _cut(images: Array, one: Sighting, other: Sighting, shift: Indices) -> tuple[Array, Array, Array, Array]:
    first, second = one.box / SHRINK, other.box / SHRINK
    exemplar, _ = _region(images[one.time, one.depth], _centre(first), EXEMPLAR)
    search, corner = _region(images[other.time, other.depth], _centre(second) + shift, SEARCH)
    return exemplar, search, first[2:] - first[:2], second - np.tile(corner, 2)


def _region(image: Array, centre: Array, side: int) -> tuple[Array, Array]:
    """A square of an image with a margin, and where its corner lies in the image without."""
    corner = np.round(centre - side / 2).astype(np.int64)
    left, top = (corner + SEARCH).tolist()
    return image[top : top + side, left : left + side], corner.astype(np.float32)


def _centre(box: Array) -> Array:
    return (box[:2] + box[2:]) / 2


def _shrunk(film: Film, times: int) -> Array:
    frames, height, width = film.images.shape
    rows, columns = height // SHRINK, width // SHRINK
    cut = film.images[:, : rows * SHRINK, : columns * SHRINK].astype(np.float32)
    means = cut.reshape(frames, rows, SHRINK, columns, SHRINK).mean((2, 4))
    bright, margin = np.log1p(means), ((0, 0), (SEARCH, SEARCH), (SEARCH, SEARCH))
    padded = np.pad(bright, margin, constant_values=float(np.median(bright)))
    return padded.reshape(times, frames // times, *padded.shape[1:])
