"""What a table's target asks of its task: the losses' signature, the metrics, and what a network's output means."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from lossearch.tasks.base import Slot
from lossearch.tasks.regression.metrics import METRICS, NumberMetric


@dataclass(frozen=True)
class Target:
    """Numbers, counts or times.

    Attributes:
        slot: of the losses.
        output: which of the losses' inputs the network's output is.
        known: the losses' other inputs, as batches have them.
        mean: what the metrics are given of the network's output.
        standardised: whether the network predicts in standard deviations of the targets; otherwise as they are.
        metrics: by name.
    """

    slot: Slot
    output: str
    known: tuple[str, ...]
    mean: Callable[[Tensor], Tensor]
    standardised: bool
    metrics: Mapping[str, NumberMetric]


def _named(*names: str) -> dict[str, NumberMetric]:
    return {name: METRICS[name] for name in names}


TARGETS = {
    # Huber's loss by default, since squared errors follow outliers.
    "number": Target(
        Slot("regression", "huber"),
        "prediction",
        ("target",),
        lambda x: x,
        True,
        _named("mae", "rmse", "r2"),
    ),
    "count": Target(
        Slot("regression_counts", "poisson"),
        "log_mean",
        ("target",),
        torch.exp,
        False,
        _named("poisson_deviance", "mae", "rmse"),
    ),
    "time": Target(
        Slot("survival", "cox"),
        "log_risk",
        ("time", "event"),
        lambda x: x,
        False,
        _named("concordance", "median_auc"),
    ),
}
"""By the name that tables use."""
