"""How well one modality finds the other: is a sample's partner among the nearest of all?"""

from __future__ import annotations

import torch
import torch.nn.functional as F
from torch import Tensor

from lossearch.tasks.base import Metric

METRICS = {
    metric.name: metric
    for metric in (
        Metric("recall_at_5", True, 0.0, 1.0, "mean of both directions: partner among the five nearest"),
        Metric("recall_at_1", True, 0.0, 1.0, "mean of both directions: partner the nearest"),
        Metric("names_at_5", True, 0.0, 1.0, "share of pictures whose name is among the five nearest"),
        Metric("names_at_1", True, 0.0, 1.0, "share of pictures whose name is the nearest"),
        Metric("pictures_at_5", True, 0.0, 1.0, "share of names whose picture is among the five nearest"),
        Metric("pictures_at_1", True, 0.0, 1.0, "share of names whose picture is the nearest"),
    )
}
"""By name."""


def measured(pictures: Tensor, names: Tensor) -> dict[str, Tensor]:
    """All metrics, by cosine, by name `[run]`.

    Args:
        pictures: `[run, sample, feature]`.
        names: `[run, sample, feature]`, in the same order.
    """
    # One run after the other: the cosines of all would take much memory.
    rows = [_of_one(*run) for run in zip(pictures, names, strict=True)]
    return {name: torch.stack([row[name] for row in rows]) for name in METRICS}


def _of_one(pictures: Tensor, names: Tensor) -> dict[str, Tensor]:
    cosine = F.normalize(pictures, dim=-1) @ F.normalize(names, dim=-1).T
    own = cosine.diagonal()
    # Equal ones count as nearer, so that embeddings that are all alike find nothing.
    before = {"names": (cosine >= own.unsqueeze(1)).sum(1) - 1, "pictures": (cosine >= own).sum(0) - 1}
    found = {f"{side}_at_{most}": (places < most).float().mean() for side, places in before.items() for most in (1, 5)}
    both = {f"recall_at_{most}": (found[f"names_at_{most}"] + found[f"pictures_at_{most}"]) / 2 for most in (1, 5)}
    return found | both
