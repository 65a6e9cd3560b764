"""Which images are for training, validation and test, at the size at which they are generated."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
import torch.nn.functional as F
from torch import Tensor

from lossearch.tasks.classification.splits import search_indices, test_indices
from lossearch.tasks.datasets.data import Arrays, load
from lossearch.tasks.datasets.registry import dataset

Labelled = tuple[Tensor, Tensor]
"""Images `[sample, channel, height, width]`, float32 in [-1, 1], and labels `[sample]`."""


@dataclass(frozen=True)
class Pictures:
    """Labelled images of a data set, cut into splits; equal ones give equal images.

    Attributes:
        dataset: as `lossearch data ls` calls it.
        shrink: side of the squares of pixels of which each becomes one, their mean.
        train_size: training images.
        val_size: validation images.
        test_size: test images; None takes the whole official test split.
        split_seed: draws the splits.
    """

    dataset: str
    shrink: int
    train_size: int
    val_size: int
    test_size: int | None
    split_seed: int

    @property
    def classes(self) -> int:
        """How many there are."""
        return len(load(self.dataset).classes)

    def search(self) -> tuple[Labelled, Labelled]:
        """Training and validation images; raises `UserError` where the data is missing or damaged."""
        arrays = load(self.dataset)
        train, validation = search_indices(self, arrays, self.split_seed)
        return self._images(arrays, train), self._images(arrays, validation)

    def test(self) -> Labelled:
        """Test images, read anew."""
        arrays = load(self.dataset, "test" if dataset(self.dataset).test_samples else "train")
        return self._images(arrays, test_indices(self, arrays))

    def _images(self, arrays: Arrays, places: npt.NDArray[np.int64]) -> Labelled:
        images = 2.0 * torch.from_numpy(arrays.images_at(places)) - 1.0
        if self.shrink > 1:
            images = F.avg_pool2d(images, self.shrink)
        return images, torch.from_numpy(arrays.labels[places])
