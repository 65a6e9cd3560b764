"""Metrics of embeddings: how well samples find others of their class. Each sample is compared with all others.

Similarity is the cosine, so that the length of embeddings does not matter. One run or many: `run` is a first axis.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from lossearch.tasks.base import Metric

FALSE_ACCEPTS = 0.01
"""Share of pairs of different classes that a verification may take for pairs of one class."""


@dataclass(frozen=True)
class RetrievalMetric(Metric):
    """A metric of embeddings with labels.

    Attributes:
        function: from cosines `[sample, sample']` and whether both are of one class, `[sample, sample']`, with -inf and
            false for a sample and itself, to one number.
    """

    function: Callable[[Tensor, Tensor], Tensor] = field(kw_only=True)


def recall_at_1(cosine: Tensor, same: Tensor) -> Tensor:
    """Share of the samples whose nearest other is of their class, in [0, 1]; a tie with another class is a miss.

    Of the samples that have another of their class; 0 where none has.
    """
    found = cosine.where(same, -torch.inf).amax(1) > cosine.where(~same, -torch.inf).amax(1)
    asked = same.any(1)
    return (found & asked).sum() / asked.sum().clamp(min=1)


def map_at_r(cosine: Tensor, same: Tensor) -> Tensor:
    """Mean average precision at R, in [0, 1]: mean over samples of Σ_i hit(i)·precision(i)/R among the R nearest.

    R is how many others of its class a sample has; samples without any are not asked. Musgrave et al. 2020.
    """
    relevant = same.sum(1)
    most = int(relevant.max())
    if most == 0:
        return cosine.new_zeros(())
    hits = same.gather(1, cosine.topk(most, dim=1).indices)
    places = torch.arange(1, most + 1, device=cosine.device)
    hits = (hits & (places <= relevant.unsqueeze(1))).to(cosine.dtype)
    precision = hits.cumsum(1) / places
    value = (hits * precision).sum(1) / relevant.clamp(min=1)
    return value.sum() / (relevant > 0).sum()


def tar_at_far(cosine: Tensor, same: Tensor) -> Tensor:
    """Share of the pairs of one class that are accepted where at most 1 % of the other pairs are, in [0, 1].

    Pairs are accepted whose cosine is above a threshold: the lowest one that accepts few enough (Phillips et al. 2000).
    0 where there is no pair of one class.
    """
    pairs = torch.ones_like(same).triu(1)
    genuine, impostors = cosine[pairs & same], cosine[pairs & ~same]
    accepted = int(FALSE_ACCEPTS * len(impostors))
    if not len(genuine) or accepted >= len(impostors):
        return (cosine.new_ones if len(genuine) else cosine.new_zeros)(())
    threshold = impostors.topk(accepted + 1).values[-1]
    return (genuine > threshold).to(cosine.dtype).mean()


METRICS = {
    metric.name: metric
    for metric in (
        RetrievalMetric(
            "recall_at_1",
            True,
            0.0,
            1.0,
            "share of samples whose nearest other is of their class",
            function=recall_at_1,
        ),
        RetrievalMetric("map_at_r", True, 0.0, 1.0, "mean average precision at R", function=map_at_r),
        RetrievalMetric(
            "tar_at_far", True, 0.0, 1.0, "pairs of one class accepted where 1 % of the others are", function=tar_at_far
        ),
    )
}
"""By name."""


def measured(embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
    """All metrics, by name `[run]`.

    Args:
        embeddings: `[run, sample, feature]`.
        labels: `[run, sample]`.
    """
    # One run after the other: the cosines of all would take much memory.
    rows = [_of_one(run, classes) for run, classes in zip(embeddings, labels, strict=True)]
    return {name: torch.stack([row[name] for row in rows]) for name in METRICS}


def _of_one(embeddings: Tensor, labels: Tensor) -> dict[str, Tensor]:
    directions = F.normalize(embeddings, dim=-1)
    cosine = (directions @ directions.T).fill_diagonal_(-torch.inf)
    same = (labels.unsqueeze(1) == labels).fill_diagonal_(False)
    return {name: metric.function(cosine, same) for name, metric in METRICS.items()}
