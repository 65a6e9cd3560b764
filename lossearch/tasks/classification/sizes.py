"""Sizes of the splits of labelled images, and whether a dataset has enough of them."""

from __future__ import annotations

from typing import Protocol

from lossearch.tasks.datasets.dataset import LabelledImages


class Sizes(Protocol):
    """What a configuration says of its splits; see `TaskConfig`."""

    @property
    def train_size(self) -> int: ...

    @property
    def val_size(self) -> int: ...

    @property
    def test_size(self) -> int | None: ...

    @property
    def split_seed(self) -> int: ...


def check_sizes(sizes: Sizes, dataset: LabelledImages) -> None:
    """Raise `ValueError`, as validators of configurations do, where a dataset has too few images for the splits."""
    own_test = 0 if dataset.test_samples else sizes.test_size
    if own_test is None:
        raise ValueError(f"dataset {dataset.name!r} has no official test split: test_size is required")
    if sizes.train_size + sizes.val_size + own_test > dataset.train_samples:
        raise ValueError(
            f"{sizes.train_size} + {sizes.val_size} + {own_test} images for train, validation and own"
            f" test split are more than the {dataset.train_samples} of dataset {dataset.name!r}"
        )
    if dataset.test_samples and sizes.test_size is not None and sizes.test_size > dataset.test_samples:
        raise ValueError(f"test_size {sizes.test_size} exceeds the {dataset.test_samples} official test images")
