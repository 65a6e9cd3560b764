"""Random numbers from counters: every draw is a pure function of (seed, stream, counter)."""

from __future__ import annotations

from enum import IntEnum

import numpy as np

from lossearch.errors import UserError

MAX_SEED = 2**63 - 1


class Stream(IntEnum):
    """What a random draw is for. Draws of different streams are independent even under one seed."""

    TEST_SPLIT = 1
    VALIDATION_SPLIT = 2
    TRAIN_SUBSET = 3
    IMBALANCE = 4
    NOISE = 5
    WEIGHTS = 6
    ORDER = 7
    RESAMPLING = 8
    TASKS = 9
    PERTURBATIONS = 10
    OUTER_STEPS = 11


def generator(seed: int, stream: Stream, counter: int = 0) -> np.random.Generator:
    """A generator that depends on its three arguments alone, never on what was drawn before.

    Philox is keyed (Salmon et al. 2011), so neighbouring seeds and counters give unrelated numbers.

    Raises:
        UserError: `seed` is outside 0 … 2⁶³ - 1.
    """
    if not 0 <= seed <= MAX_SEED:
        raise UserError(f"a seed from 0 to {MAX_SEED}", str(seed), "choose a non-negative seed")
    return np.random.Generator(np.random.Philox(key=[seed, int(stream) << 32 | counter]))


def redrawn(split_seed: int, run_seed: int) -> int:
    """A seed for the splits of one training: random bits of the run's seed, so that neither seed's neighbours meet."""
    return split_seed ^ int(generator(run_seed, Stream.RESAMPLING).integers(MAX_SEED))
