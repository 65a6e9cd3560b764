"""Splits that share no person, and the windows of their recordings."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lossearch.errors import UserError
from lossearch.tasks.action_recognition.config import ActionRecognitionConfig
from lossearch.tasks.classification.noise import long_tail, noisy, stratified_subset
from lossearch.tasks.datasets.recordings import Recorded
from lossearch.tasks.streams import Stream, generator, redrawn

Array = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Part:
    """Windows of one split.

    Attributes:
        windows: `[sample, sensor, step]`.
        labels: `[sample]`, wrong ones included.
        clean_labels: `[sample]`.
    """

    windows: Array
    labels: Indices
    clean_labels: Indices


def test_part(config: ActionRecognitionConfig, recorded: Recorded) -> Part:
    """The test windows, the same for every seed."""
    return _part(config, recorded, _test_people(config, recorded))


test_part.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


def search_parts(config: ActionRecognitionConfig, recorded: Recorded, run_seed: int | None = None) -> tuple[Part, Part]:
    """Training and validation windows. Noise and imbalance touch the training windows alone.

    Args:
        config: the task.
        recorded: all recordings.
        run_seed: of a training that draws its own; None for those that `config.split_seed` alone draws.

    Raises:
        UserError: imbalance leaves fewer training windows than a batch has.
    """
    seed = config.split_seed if run_seed is None else redrawn(config.split_seed, run_seed)
    rest = np.setdiff1d(recorded.people, _test_people(config, recorded))
    validation = _drawn(recorded, rest, config.val_people, seed, Stream.VALIDATION_SPLIT)
    train = _drawn(recorded, np.setdiff1d(rest, validation), config.train_people, seed, Stream.TRAIN_SUBSET)
    return _corrupted(config, _part(config, recorded, train), seed), _part(config, recorded, validation)


def _test_people(config: ActionRecognitionConfig, recorded: Recorded) -> Indices:
    return _drawn(recorded, np.unique(recorded.people), config.test_people, config.split_seed, Stream.TEST_SPLIT)


def _drawn(recorded: Recorded, people: Indices, count: int, seed: int, stream: Stream) -> Indices:
    """So many of these people; of people with one recording each as many of every class, as far as that goes."""
    each = [recorded.labels[recorded.people == person] for person in people]
    strata = np.array([labels[0] if len(labels) == 1 else 0 for labels in each])
    return people[stratified_subset(strata, count, generator(seed, stream))]


def _part(config: ActionRecognitionConfig, recorded: Recorded, people: Indices) -> Part:
    chosen = np.flatnonzero(np.isin(recorded.people, people))
    cut = [windows(config, recorded.values[place]) for place in chosen.tolist()]
    labels = np.repeat(recorded.labels[chosen], config.windows)
    return Part(np.concatenate(cut), labels, labels.copy())


def windows(config: ActionRecognitionConfig, recording: Array) -> Array:
    """Windows of a recording, spread evenly: `[window, sensor, step]`.

    Args:
        config: the task.
        recording: `[step, sensor]`.

    Raises:
        UserError: it has fewer steps than that many different windows need.
    """
    steps = len(recording) // config.shrink
    needed = config.window + config.windows - 1
    if steps < needed:
        required = f"recordings of at least {needed * config.shrink} steps"
        raise UserError(required, f"one of {len(recording)}", "make window, windows or shrink smaller")
    shrunk = recording[: steps * config.shrink].reshape(steps, config.shrink, -1).mean(1)
    starts = np.linspace(0, steps - config.window, config.windows).round().astype(np.int64)
    return np.stack([shrunk[start : start + config.window].T for start in starts])


def _corrupted(config: ActionRecognitionConfig, part: Part, seed: int) -> Part:
    cut, labels = part.windows, part.labels
    if config.imbalance > 1:
        kept = long_tail(labels, config.imbalance, config.classes, generator(seed, Stream.IMBALANCE))
        cut, labels = cut[kept], labels[kept]
    if len(labels) < config.batch_size:
        raise UserError(
            f"at least one batch of {config.batch_size} training windows",
            f"{len(labels)} after imbalance {config.imbalance:g}",
            "raise train_people or windows, or lower imbalance or batch_size",
        )
    noise = generator(seed, Stream.NOISE)
    return Part(cut, noisy(config.noise, labels, config.noise_rate, config.classes, noise), labels)
