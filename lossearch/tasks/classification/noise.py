"""Corrupting training labels and sets: label noise, class imbalance. Applied to training splits alone.

Every function is a pure function of its arguments and the generator's state.
"""

from __future__ import annotations

from typing import Literal

import numpy as np

Noise = Literal["none", "symmetric", "asymmetric"]
"""A kind of label noise."""


def noisy(kind: Noise, labels: np.ndarray, rate: float, classes: int, generator: np.random.Generator) -> np.ndarray:
    """Labels with noise of a kind, see `symmetric_noise` and `asymmetric_noise`; as they are with none."""
    match kind:
        case "symmetric":
            return symmetric_noise(labels, rate, classes, generator)
        case "asymmetric":
            return asymmetric_noise(labels, rate, classes, generator)
        case "none":
            return labels


def symmetric_noise(labels: np.ndarray, rate: float, classes: int, generator: np.random.Generator) -> np.ndarray:
    """Labels of which exactly round(rate · samples) are replaced, uniformly over the *other* classes.

    So `rate` is the fraction of wrong labels, and the data still carries information while
    rate < 1 - 1/classes. (The other convention, uniform over all classes, leaves rate/classes of them
    unchanged.)

    Args:
        labels: `[sample]`, int64 in 0 … classes - 1; not modified.
        rate: fraction of wrong labels, in [0, 1].
        classes: number of classes, at least 2.
        generator: source of randomness.
    """
    noisy = labels.copy()
    chosen = generator.choice(len(labels), size=round(rate * len(labels)), replace=False)
    noisy[chosen] = (labels[chosen] + generator.integers(1, classes, size=len(chosen))) % classes
    return noisy


def asymmetric_noise(labels: np.ndarray, rate: float, classes: int, generator: np.random.Generator) -> np.ndarray:
    """Labels of which, in each class c, exactly round(rate · samples of c) become c + 1 (the last becomes 0).

    Circular class-dependent noise, "pair flipping" (Han et al. 2018). Beyond a rate of 0.5 the wrong class
    prevails and the task no longer has a solution.

    Args:
        labels: `[sample]`, int64 in 0 … classes - 1; not modified.
        rate: fraction of wrong labels in every class, in [0, 1].
        classes: number of classes, at least 2.
        generator: source of randomness.
    """
    noisy = labels.copy()
    for label in range(classes):
        members = np.flatnonzero(labels == label)
        chosen = generator.choice(members, size=round(rate * len(members)), replace=False)
        noisy[chosen] = (label + 1) % classes
    return noisy


def long_tail(labels: np.ndarray, ratio: float, classes: int, generator: np.random.Generator) -> np.ndarray:
    """Indices of a long-tailed subset: class c keeps n · ratio^(-c / (classes - 1)) samples.

    n is the smallest class of `labels`, so class 0 is the largest afterwards and the last the smallest
    (Cui et al. 2019). Each class keeps at least one sample.

    Args:
        labels: `[sample]`, int64 in 0 … classes - 1.
        ratio: size of the largest class over that of the smallest, at least 1.
        classes: number of classes, at least 2.
        generator: source of randomness.

    Returns:
        `[kept]`, ascending indices into `labels`.
    """
    largest = int(np.bincount(labels, minlength=classes).min())
    kept = [
        generator.choice(
            np.flatnonzero(labels == label),
            size=max(1, round(largest * ratio ** (-label / (classes - 1)))),
            replace=False,
        )
        for label in range(classes)
    ]
    return np.sort(np.concatenate(kept))


def stratified_subset(labels: np.ndarray, size: int, generator: np.random.Generator) -> np.ndarray:
    """Indices of a subset of `size` samples with the class proportions of `labels`, by largest remainders.

    Args:
        labels: `[sample]`, non-negative integers.
        size: number of samples, at most that of `labels`.
        generator: source of randomness.

    Returns:
        `[size]`, ascending indices into `labels`.

    Raises:
        ValueError: more samples are wanted than there are.
    """
    if not 0 <= size <= len(labels):
        raise ValueError(f"{size} samples of {len(labels)}")
    counts = np.bincount(labels)
    quota = counts * size / max(len(labels), 1)
    take = np.floor(quota).astype(np.int64)
    # Stable sort, so that ties go to the lower class on every platform.
    order = np.argsort(-(quota - take), kind="stable")
    take[order[: size - int(take.sum())]] += 1
    chosen = [
        generator.choice(np.flatnonzero(labels == label), size=int(count), replace=False)
        for label, count in enumerate(take)
    ]
    return np.sort(np.concatenate(chosen)) if chosen else np.zeros(0, dtype=np.int64)
