"""Which images are for training, validation and test; no photograph is in two."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from lossearch.tasks.datasets.data import load
from lossearch.tasks.restoration.config import RestorationConfig
from lossearch.tasks.streams import Stream, generator


class Pictures:
    """Clean images of a task, out of a data set of images of one size. Tiles of one photograph are in one split.

    Args:
        config: the task.

    Raises:
        UserError: the data is missing or damaged.
    """

    def __init__(self, config: RestorationConfig) -> None:
        self._config = config
        self._arrays = load(config.dataset)
        self._together = config.together
        photographs = len(self._arrays.images) // self._together
        order = generator(config.split_seed, Stream.TEST_SPLIT).permutation(photographs)
        own_test = 0 if self._arrays.has_official_test else config.photographs(config.test_size)
        self._test, self._rest = order[:own_test], order[own_test:]

    def search(self, seed: int) -> tuple[Tensor, Tensor]:
        """Training and validation images that a seed draws: `[sample, channel, height, width]`, float32 in [0, 1]."""
        given = self._config
        order = generator(seed, Stream.VALIDATION_SPLIT).permutation(self._rest)
        held = given.photographs(given.val_size)
        validation = self._images(order[:held], given.val_size, generator(seed, Stream.VALIDATION_SPLIT, 1))
        return self._images(order[held:], given.train_size, generator(seed, Stream.TRAIN_SUBSET)), validation

    def test(self) -> Tensor:
        """Test images, the same for every seed."""
        size, draw = self._config.test_size, generator(self._config.split_seed, Stream.TEST_SPLIT, 1)
        if not self._arrays.has_official_test:
            return self._images(self._test, size, draw)
        arrays = load(self._config.dataset, "test")
        return torch.from_numpy(arrays.images_at(draw.permutation(len(arrays.images))[:size]))

    def _images(self, photographs: npt.NDArray[np.int64], size: int, draw: np.random.Generator) -> Tensor:
        """Some images out of these photographs."""
        places = photographs[:, None] * self._together + np.arange(self._together)
        return torch.from_numpy(self._arrays.images_at(draw.permutation(places.ravel())[:size]))
