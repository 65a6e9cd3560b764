"""Class weights of a task, the same in a search and in a comparison."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


def inverse_frequencies(frequencies: Sequence[float]) -> Tensor:
    """Weight 1 / (C · f) of each class with frequency f among the training labels, C the classes that occur: `[class]`.

    A class that is absent has weight 0. The mean weight of the training labels is one.
    """
    occurring = sum(frequency > 0.0 for frequency in frequencies)
    return torch.tensor([1.0 / (occurring * f) if f > 0.0 else 0.0 for f in frequencies])
