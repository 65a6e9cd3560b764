"""How the evaluation of one loss ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

import torch


class Status(StrEnum):
    """How a training ended. Everything but OK is an outcome too, ranked last."""

    OK = "ok"
    DIVERGED = "diverged"
    ERROR = "error"
    TIMEOUT = "timeout"
    OUT_OF_MEMORY = "out_of_memory"


@dataclass(frozen=True)
class Outcome:
    """The result of one training.

    Attributes:
        status: how it ended.
        metric: last value of the metric; None unless the status is OK.
        curve: (step, metric) at each evaluation, steps counted from the start, ascending.
        seconds: wall-clock; of trainings that ran at the same time, each has its share.
        message: what went wrong, a traceback where there is one; of a run stopped early at a rung, where;
            otherwise empty.
        metrics: last values of all metrics that the training gave, by name, the ranking one among them; empty unless
            the status is OK. Any but the ranking one may be nan or infinite.
    """

    status: Status
    metric: float | None
    curve: tuple[tuple[int, float], ...]
    seconds: float
    message: str
    metrics: Mapping[str, float] = field(default_factory=dict)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether an exception means that memory ran out, on a GPU or on the host."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    # torch's allocator for host memory raises a plain RuntimeError.
    return isinstance(error, RuntimeError) and "can't allocate memory" in str(error)
