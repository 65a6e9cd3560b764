"""TorchScript: the only module that knows it.

TorchScript is deprecated upstream; its warnings about that are kept from users here.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, List  # noqa: UP035 (the string front end of TorchScript knows List)

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from lossearch.compile.source import Source

__all__ = ["compile_text", "save", "without_profiling"]

# Names that emitted source uses: TorchScript resolves them in the frame that compiles it.
_NAMESPACE = (math, F, Tensor, List)


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the notices that TorchScript as a whole is deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=".*torch.jit.*", category=DeprecationWarning)
        warnings.filterwarnings("ignore", message=".*TorchScript.*", category=DeprecationWarning)
        yield
