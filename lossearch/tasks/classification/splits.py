"""Cutting a dataset into train, validation and test; the only place where training data is corrupted."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from lossearch.tasks.classification.config import TaskConfig
from lossearch.tasks.classification.noise import long_tail, noisy, stratified_subset
from lossearch.tasks.classification.sizes import Sizes
from lossearch.tasks.datasets.readers import Arrays
from lossearch.tasks.streams import Stream, generator, redrawn


@dataclass(frozen=True)
class Part:
    """Images and labels of one split, as arrays that share no memory with the dataset.

    Attributes:
        images: `[sample, channel, height, width]`, float32 in [0, 1].
        labels: `[sample]`, int64.
        clean_labels: `[sample]`, int64, as in the dataset, before noise.
    """

    images: np.ndarray
    labels: np.ndarray
    clean_labels: np.ndarray


def search_parts(config: TaskConfig, arrays: Arrays, run_seed: int | None = None) -> tuple[Part, Part]:
    """Train and validation parts. Noise and imbalance touch the training part alone.

    Test is cut first and validation next, so neither depends on `train_size`, noise or imbalance; and test is the same
    for every `run_seed`, as are the sizes of both parts and of their classes.

    Args:
        config: the task.
        arrays: the "train" part of its dataset.
        run_seed: of a training that draws its own parts; None for the parts that `config.split_seed` alone draws.
    """
    seed = config.split_seed if run_seed is None else redrawn(config.split_seed, run_seed)
    train, validation = search_indices(config, arrays, seed)
    return _corrupted(config, _part(arrays, train), len(arrays.classes), seed), _part(arrays, validation)


def test_part(config: TaskConfig, arrays: Arrays) -> Part:
    """The test part, clean.

    Args:
        config: the task.
        arrays: the "test" part of its dataset if it has an official one, else the "train" part, of which
            the task's own test split is cut.
    """
    return _part(arrays, test_indices(config, arrays))


test_part.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


def search_indices(sizes: Sizes, arrays: Arrays, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """Places of training and validation images in the "train" part of a dataset, stratified.

    Args:
        sizes: of the splits.
        arrays: the "train" part.
        seed: draws both; the test images, which neither holds, are drawn by `sizes.split_seed` alone.
    """
    everything = np.arange(len(arrays.labels))
    own_test = everything[:0] if arrays.has_official_test else test_indices(sizes, arrays)
    rest = np.setdiff1d(everything, own_test)
    validation = _draw(arrays.labels, rest, sizes.val_size, seed, Stream.VALIDATION_SPLIT)
    train = _draw(arrays.labels, np.setdiff1d(rest, validation), sizes.train_size, seed, Stream.TRAIN_SUBSET)
    return train, validation


def test_indices(sizes: Sizes, arrays: Arrays) -> np.ndarray:
    """Places of the test images, as `test_part` takes them; all where no size is given."""
    everything = np.arange(len(arrays.labels))
    if sizes.test_size is None:
        return everything
    return _draw(arrays.labels, everything, sizes.test_size, sizes.split_seed, Stream.TEST_SPLIT)


test_indices.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


def _draw(labels: np.ndarray, pool: np.ndarray, size: int, seed: int, stream: Stream) -> np.ndarray:
    return pool[stratified_subset(labels[pool], size, generator(seed, stream))]


def _part(arrays: Arrays, indices: np.ndarray) -> Part:
    labels = arrays.labels[indices]
    return Part(arrays.images_at(indices), labels, labels.copy())


def _corrupted(config: TaskConfig, part: Part, classes: int, seed: int) -> Part:
    images, labels = part.images, part.labels
    if config.imbalance > 1:
        kept = long_tail(labels, config.imbalance, classes, generator(seed, Stream.IMBALANCE))
        images, labels = images[kept], labels[kept]
    noise = generator(seed, Stream.NOISE)
    return Part(images, noisy(config.noise, labels, config.noise_rate, classes, noise), labels)
