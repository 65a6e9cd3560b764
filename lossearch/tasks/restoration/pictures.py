"""Which images are for training, validation and test; no image is in two."""

from __future__ import annotations

import numpy as np
import torch
from torch import Tensor

from lossearch.tasks.datasets.data import load
from lossearch.tasks.restoration.config import RestorationConfig
from lossearch.tasks.streams import Stream, generator


class Pictures:
    """Clean images of a task, out of a data set of images of one size.

    Args:
        config: the task.

    Raises:
        UserError: the data is missing or damaged.
    """

    def __init__(self, config: RestorationConfig) -> None:
        self._config = config
        self._arrays = load(config.dataset)
        count = len(self._arrays.images)
        order = generator(config.split_seed, Stream.TEST_SPLIT).permutation(count)
        own_test = 0 if self._arrays.has_official_test else config.test_size
        self._test, self._rest = order[:own_test], order[own_test:]

    def search(self, seed: int) -> tuple[Tensor, Tensor]:
        """Training and validation images that a seed draws: `[sample, channel, height, width]`, float32 in [0, 1]."""
        given = self._config
        chosen = generator(seed, Stream.TRAIN_SUBSET).permutation(self._rest)
        return self._at(chosen[: given.train_size]), self._at(chosen[given.train_size :][: given.val_size])

    def test(self) -> Tensor:
        """Test images, the same for every seed."""
        if not self._arrays.has_official_test:
            return self._at(self._test)
        arrays = load(self._config.dataset, "test")
        order = generator(self._config.split_seed, Stream.TEST_SPLIT).permutation(len(arrays.images))
        return torch.from_numpy(arrays.images_at(order[: self._config.test_size]))

    def _at(self, indices: np.ndarray) -> Tensor:
        return torch.from_numpy(self._arrays.images_at(indices))
