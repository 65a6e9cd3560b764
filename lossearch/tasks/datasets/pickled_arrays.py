"""Reading pickled arrays without running anything: nothing but arrays is made of what a file says."""

from __future__ import annotations

import _codecs
import pickle
from typing import Any

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


class ArraysOnly(pickle.Unpickler):
    """Makes arrays, and nothing else that a file may name."""

    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _ADMITTED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no array needs")
        return _ADMITTED[module, name]
