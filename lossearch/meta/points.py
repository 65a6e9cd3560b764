"""Points of coefficients as tensors, one row a run."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def repeated(point: Sequence[float], like: Tensor) -> Tensor:
    """A point for every run of `like[run, ...]`: `[run, coefficient]`, each row a leaf of its own gradient."""
    row = torch.tensor(list(map(float, point)), dtype=like.dtype, device=like.device)
    return row.repeat(len(like), 1).requires_grad_()
