"""Cutting the rows of a table into splits; rows with equal features come into one."""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

from lossearch.errors import UserError

Rows = npt.NDArray[np.int64]


def groups_of(features: npt.NDArray[np.float64]) -> Rows:
    """A number for each row, the same for rows with equal features: `[row]`, in the order of first appearance."""
    _, first, inverse = np.unique(features, axis=0, return_index=True, return_inverse=True)
    return np.argsort(np.argsort(first))[inverse.reshape(-1)]


def in_drawn_order(rows: Rows, groups: Rows, draw: np.random.Generator) -> Rows:
    """The rows in an order that is drawn, in which those of one group follow each other.

    Args:
        rows: some rows, in rising order.
        groups: of all rows.
        draw: draws the order.
    """
    known, group = np.unique(groups[rows], return_inverse=True)
    place = np.argsort(draw.permutation(len(known)))
    return rows[np.argsort(place[group], kind="stable")]


def cut(order: Rows, groups: Rows, size: int) -> tuple[Rows, Rows]:
    """The first `size` rows, and those after them that are of no group of theirs.

    Raises:
        UserError: there are fewer.
    """
    if len(order) < size:
        required = f"{size} rows with features that no other split has"
        raise UserError(required, str(len(order)), "lower train_size, val_size or test_size")
    taken, rest = order[:size], order[size:]
    return taken, rest[groups[rest] != groups[taken[-1]]]
