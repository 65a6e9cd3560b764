"""Splits that share no class, and batches that hold several samples of each of several classes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lossearch.tasks.metric_learning.config import MetricLearningConfig
from lossearch.tasks.streams import Stream, generator, redrawn

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Samples of one split, class by class, as many of each.

    Attributes:
        indices: `[sample]`, places in the data set.
        labels: `[sample]`, 0 … classes - 1.
    """

    indices: Indices
    labels: Indices


def test_part(config: MetricLearningConfig, labels: Indices) -> Part:
    """The test samples, the same for every seed.

    Args:
        config: the task.
        labels: `[sample]`, of the whole data set.
    """
    classes = _test_classes(config, labels)
    return _part(labels, classes, config.held_per_class, generator(config.split_seed, Stream.TEST_SPLIT, 1))


test_part.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


def search_parts(config: MetricLearningConfig, labels: Indices, run_seed: int | None = None) -> tuple[Part, Part]:
    """Training and validation samples, of classes that are not test and not each other's.

    Args:
        config: the task.
        labels: `[sample]`, of the whole data set.
        run_seed: of a training that draws its own; None for those that `config.split_seed` alone draws.
    """
    seed = config.split_seed if run_seed is None else redrawn(config.split_seed, run_seed)
    rest = np.setdiff1d(labels, _test_classes(config, labels))
    order = rest[generator(seed, Stream.TRAIN_SUBSET).permutation(len(rest))]
    trained, held = np.split(order[: config.train_classes + config.val_classes], [config.train_classes])
    train = _part(labels, trained, config.train_per_class, generator(seed, Stream.TRAIN_SUBSET, 1))
    validation = _part(labels, held, config.held_per_class, generator(seed, Stream.VALIDATION_SPLIT))
    train = _mislabelled(train, config.mislabelled, generator(seed, Stream.NOISE))
    return Part(*(np.repeat(values, config.copies) for values in (train.indices, train.labels))), validation


def batch_order(classes: int, per_class: int, in_batch: int, together: int, draw: np.random.Generator) -> Indices:
    """An epoch of samples that lie class by class, ordered so that a batch has P classes and K samples of each.

    Every sample comes once; which of its class go together and which classes meet is drawn (Hermans et al. 2017).

    Args:
        classes: how many, a multiple of P.
        per_class: samples of each, a multiple of K.
        in_batch: P, classes of a batch.
        together: K, samples of each class of a batch.
        draw: random numbers.
    """
    samples = draw.permuted(np.tile(np.arange(per_class), (classes, 1)), axis=1)
    samples += per_class * np.arange(classes)[:, None]
    groups = samples.reshape(classes, per_class // together, together)
    rounds = draw.permuted(np.tile(np.arange(classes), (per_class // together, 1)), axis=1)
    batches = [groups[order, number] for number, order in enumerate(rounds)]  # each has every class once
    cut = np.concatenate(batches).reshape(-1, in_batch * together)
    return cut[draw.permutation(len(cut))].ravel()


def _mislabelled(part: Part, fraction: float, draw: np.random.Generator) -> Part:
    """The samples at a fraction of the places have gone one place of these on, so that classes keep their sizes."""
    places = draw.permutation(len(part.indices))[: round(fraction * len(part.indices))]
    indices = part.indices.copy()
    indices[places] = np.roll(indices[places], 1)
    return Part(indices, part.labels)


def _test_classes(config: MetricLearningConfig, labels: Indices) -> Indices:
    known = np.unique(labels)
    return known[generator(config.split_seed, Stream.TEST_SPLIT).permutation(len(known))[: config.test_classes]]


def _part(labels: Indices, classes: Indices, per_class: int, draw: np.random.Generator) -> Part:
    chosen = [draw.permutation(np.flatnonzero(labels == name))[:per_class] for name in classes]
    return Part(np.concatenate(chosen), np.repeat(np.arange(len(classes)), per_class))
