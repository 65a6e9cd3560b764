"""What features tell of classes: how well simple classifiers, fitted to a few labelled samples, do on others."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from lossearch.tasks.base import Metric

NEIGHBOURS = 10
"""Of the labelled samples, that vote for the class of another."""

TEMPERATURE = 0.07
"""Of the votes' weights e^(cos/τ)."""

RIDGE = 1e-2
"""Weight of the squared coefficients of a linear probe, beside the mean squared error."""


@dataclass(frozen=True)
class Features:
    """Features of labelled samples that a classifier is fitted to, and of those that it is judged by.

    Attributes:
        fitted: `[run, sample, feature]`.
        fitted_labels: `[run, sample]`.
        judged: `[run, sample, feature]`.
        judged_labels: `[run, sample]`.
        classes: how many there are.
    """

    fitted: Tensor
    fitted_labels: Tensor
    judged: Tensor
    judged_labels: Tensor
    classes: int


@dataclass(frozen=True)
class FeaturesMetric(Metric):
    """A metric of features.

    Attributes:
        function: gives one value a run.
    """

    function: Callable[[Features], Tensor] = field(kw_only=True)


def probe_accuracy(features: Features) -> Tensor:
    """Accuracy of ridge regression to one-hot labels, on features scaled to mean 0 and deviation 1, in [0, 1]. `[run]`.

    W = (XᵀX/n + λ·I)⁻¹·XᵀY/n with X and Y less their means.
    """
    known, others = features.fitted.double(), features.judged.double()
    mean, deviation = known.mean(1, keepdim=True), known.std(1, keepdim=True, correction=0).clamp(min=1e-6)
    known, others = (known - mean) / deviation, (others - mean) / deviation
    target = F.one_hot(features.fitted_labels, features.classes).double()
    prior = target.mean(1, keepdim=True)
    samples = known.shape[1]
    gram = known.transpose(1, 2) @ known / samples
    identity = torch.eye(gram.shape[1], dtype=gram.dtype, device=gram.device)
    weights = torch.linalg.solve(gram + RIDGE * identity, known.transpose(1, 2) @ (target - prior) / samples)
    return _accuracy(others @ weights + prior, features.judged_labels)


def neighbour_accuracy(features: Features) -> Tensor:
    """Accuracy of a vote of the ten labelled samples with the largest cosine, in [0, 1]. `[run]`.

    Votes are weighed by e^(cos/0.07) (Wu et al. 2018).
    """
    cosine = F.normalize(features.judged, dim=-1) @ F.normalize(features.fitted, dim=-1).transpose(1, 2)
    nearest = cosine.topk(min(NEIGHBOURS, cosine.shape[2]), dim=2)
    labels = features.fitted_labels.unsqueeze(1).expand_as(cosine).gather(2, nearest.indices)
    votes = cosine.new_zeros(*cosine.shape[:2], features.classes)
    return _accuracy(votes.scatter_add(2, labels, torch.exp(nearest.values / TEMPERATURE)), features.judged_labels)


def _accuracy(scores: Tensor, labels: Tensor) -> Tensor:
    return (scores.argmax(2) == labels).float().mean(1)


METRICS = {
    metric.name: metric
    for metric in (
        FeaturesMetric(
            "probe_accuracy", True, 0.0, 1.0, "accuracy of a linear classifier of the features", function=probe_accuracy
        ),
        FeaturesMetric(
            "neighbour_accuracy", True, 0.0, 1.0, "accuracy of the ten nearest neighbours", function=neighbour_accuracy
        ),
    )
}
"""By name."""
