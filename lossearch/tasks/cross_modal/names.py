"""Names as numbers: counts of their words and of the trigrams of their letters, hashed to a fixed number of columns."""

from __future__ import annotations

import re
import zlib
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_BEARERS = frozenset(
    ["man", "men", "woman", "women", "person", "people", "boy", "girl", "adult", "child", "children", "male", "female"]
)
"""Words that tell who does a thing, and not what is done."""


def words(name: str) -> list[str]:
    """The words of a name, in lower case."""
    return re.findall(r"[a-z0-9]+", name.lower())


def hashed(names: Sequence[str], columns: int) -> npt.NDArray[np.float32]:
    """Counts of words and of trigrams, each row of length one: `[name, column]`.

    Which column a part falls into does not depend on other names (Weinberger et al. 2009), so that unseen words share
    trigrams with those that were seen.
    """
    table = np.zeros((len(names), columns), dtype=np.float32)
    for row, name in zip(table, names, strict=True):
        for word in words(name):
            marked = f"<{word}>"
            for part in (word, *(marked[start : start + 3] for start in range(len(marked) - 2))):
                row[zlib.crc32(part.encode()) % columns] += 1
    return table / np.maximum(np.linalg.norm(table, axis=1, keepdims=True), 1e-12)


def concepts(names: Sequence[str]) -> npt.NDArray[np.int64]:
    """A number for each name, the same for names of the same words but for who it is: `[name]`."""
    keys = [" ".join(sorted(set(found := words(name)) - _BEARERS) or found) for name in names]
    return np.unique(keys, return_inverse=True)[1].reshape(-1)
