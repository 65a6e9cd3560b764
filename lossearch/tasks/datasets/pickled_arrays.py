"""Reading pickled arrays without running anything: nothing but arrays is made of what a file says."""

from __future__ import annotations

import _codecs
import pickle
from typing import IO, Any

import numpy as np

_RECONSTRUCT: Any = np.empty(0).__reduce__()[0]  # a private function, which NumPy 1 and 2 keep at different places
_ADMITTED = {
    ("numpy.core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy._core.multiarray", "_reconstruct"): _RECONSTRUCT,
    ("numpy", "ndarray"): np.ndarray,
    ("numpy", "dtype"): np.dtype,
    ("_codecs", "encode"): _codecs.encode,
}
"""What a pickled array needs, and all that a file can have made."""


def unpickled_arrays(file: IO[bytes]) -> Any:
    """What a file holds that Python 2 or 3 has pickled: arrays, and lists, tuples and dictionaries of them.

    Raises:
        ValueError: it asks for anything else, or is damaged.
    """
    try:
        return _ArraysOnly(file, encoding="latin1").load()  # as Python 2 has the bytes of arrays as text
    except (LookupError, TypeError, AttributeError, EOFError, pickle.UnpicklingError) as error:
        raise ValueError(f"{type(error).__name__}: {error}") from error


class _ArraysOnly(pickle.Unpickler):
    """Makes arrays, and nothing else that a file may name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs")
        return _ADMITTED[module, name]
