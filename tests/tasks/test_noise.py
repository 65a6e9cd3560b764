from __future__ import annotations

import numpy as np
import pytest

from lossearch.errors import UserError
from lossearch.tasks.classification.noise import asymmetric_noise, long_tail, stratified_subset, symmetric_noise
from lossearch.tasks.streams import Stream, generator

LABELS = np.repeat(np.arange(10), 200)


def test_symmetric_noise_replaces_exactly_the_rate_and_never_by_the_same_class() -> None:
    noisy = symmetric_noise(LABELS, 0.4, 10, generator(0, Stream.NOISE))
    assert (noisy != LABELS).sum() == 800


def test_symmetric_noise_is_uniform_over_the_other_classes() -> None:
    labels = np.full(90_000, 3)
    counts = np.bincount(symmetric_noise(labels, 1.0, 10, generator(1, Stream.NOISE)), minlength=10)
    assert counts[3] == 0
    others = np.delete(counts, 3)
    # Each of nine counts is binomial(90000, 1/9), standard deviation 94.
    assert np.abs(others - 10_000).max() < 5 * 94


def test_asymmetric_noise_moves_each_class_to_the_next() -> None:
    noisy = asymmetric_noise(LABELS, 0.3, 10, generator(0, Stream.NOISE))
    for label in range(10):
        counts = np.bincount(noisy[label == LABELS], minlength=10)
        assert counts[label] == 140
        assert counts[(label + 1) % 10] == 60


def test_noise_leaves_its_input_alone_and_depends_on_the_seed() -> None:
    before = LABELS.copy()
    first, again, other = (symmetric_noise(LABELS, 0.4, 10, generator(s, Stream.NOISE)) for s in (0, 0, 1))
    assert (before == LABELS).all()
    assert (first == again).all()
    assert (first != other).any()


def test_long_tail_falls_off_exponentially_from_first_to_last_class() -> None:
    counts = np.bincount(LABELS[long_tail(LABELS, 100.0, 10, generator(0, Stream.IMBALANCE))])
    assert counts[0] == 200
    assert counts[-1] == 2
    expected = 200 * 100.0 ** (-np.arange(10) / 9)
    assert np.abs(counts - expected).max() <= 0.5


def test_stratified_subset_keeps_proportions_and_size() -> None:
    labels = np.repeat(np.arange(4), [100, 200, 300, 401])
    chosen = stratified_subset(labels, 333, generator(0, Stream.TRAIN_SUBSET))
    assert len(chosen) == len(set(chosen.tolist())) == 333
    quota = np.bincount(labels) * 333 / len(labels)
    assert np.abs(np.bincount(labels[chosen]) - quota).max() < 1


def test_stratified_subset_of_more_than_there_is_raises() -> None:
    with pytest.raises(ValueError, match="11 samples of 10"):
        stratified_subset(np.zeros(10, dtype=np.int64), 11, generator(0, Stream.TRAIN_SUBSET))


def test_streams_are_independent_and_a_negative_seed_is_refused() -> None:
    draws = {tuple(generator(7, s, c).integers(2**62, size=2)) for s in Stream for c in range(3)}
    assert len(draws) == 3 * len(Stream)
    with pytest.raises(UserError, match="found: -1"):
        generator(-1, Stream.NOISE)
