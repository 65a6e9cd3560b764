"""Rows of a table as numbers, and splits that share no row."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from lossearch.errors import UserError
from lossearch.tasks.classification.noise import stratified_subset
from lossearch.tasks.datasets.data import load_rows
from lossearch.tasks.datasets.rows import LABEL
from lossearch.tasks.streams import Stream, generator
from lossearch.tasks.tabular.config import TabularConfig

Array = npt.NDArray[np.float32]
Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Table:
    """Rows of which no two have equal features.

    Attributes:
        features: `[row, feature]`; a column of words is one feature a word, 1 where it stands and 0 elsewhere.
        labels: `[row]`, 0 … classes - 1.
    """

    features: Array
    labels: Indices


def read_table(config: TabularConfig) -> Table:
    """The rows of the task's data set; of those with equal features the first alone.

    Raises:
        UserError: the file is missing or damaged, or there are fewer different rows than the splits take.
    """
    columns = load_rows(config.dataset)
    classes = config.table.classes
    features = np.concatenate([_encoded(values) for name, values in columns.items() if name != LABEL], 1)
    _, first = np.unique(features, axis=0, return_index=True)
    rows = np.sort(first)
    wanted = config.train_size + config.val_size + config.test_size
    if wanted > len(rows):
        required = f"{wanted} different rows for train, validation and test"
        raise UserError(required, f"{len(rows)} in {config.dataset}", "lower train_size, val_size or test_size")
    labels = np.array([classes.index(columns[LABEL][row]) for row in rows.tolist()], dtype=np.int64)
    return Table(features[rows], labels)


def search_rows(config: TabularConfig, table: Table, seed: int) -> tuple[Indices, Indices]:
    """Training and validation rows, stratified, of those that are not test."""
    rest = np.setdiff1d(np.arange(len(table.labels)), test_rows(config, table))
    validation = _drawn(table, rest, config.val_size, seed, Stream.VALIDATION_SPLIT)
    return _drawn(table, np.setdiff1d(rest, validation), config.train_size, seed, Stream.TRAIN_SUBSET), validation


def test_rows(config: TabularConfig, table: Table) -> Indices:
    """Test rows, stratified, the same for every seed."""
    return _drawn(table, np.arange(len(table.labels)), config.test_size, config.split_seed, Stream.TEST_SPLIT)


test_rows.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


def _drawn(table: Table, pool: Indices, size: int, seed: int, stream: Stream) -> Indices:
    return pool[stratified_subset(table.labels[pool], size, generator(seed, stream))]


def _encoded(values: Sequence[str]) -> Array:
    """A column of numbers as it is, one of words as one feature for each word, in the order of the alphabet."""
    try:
        return np.array(values, dtype=np.float32)[:, None]
    except ValueError:  # words
        return (np.array(values)[:, None] == np.unique(values)).astype(np.float32)
