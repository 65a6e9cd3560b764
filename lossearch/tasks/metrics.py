"""Metrics for many runs at once: `metric(logits[run, batch, class, *space], target) -> [run]`.

`target[batch, *space]` holds class numbers and is shared by all runs; `target[run, batch, *space]` holds each run's
own. Space may be absent (classification).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from lossearch.registry import Registry
from lossearch.tasks.base import Metric


@dataclass(frozen=True)
class LogitsMetric(Metric):
    """A metric of logits and labels. Calling it gives one value per run.

    Attributes:
        function: `(logits[run, batch, class, *space], target[batch, *space] or [run, batch, *space]) -> [run]`.
    """

    function: Callable[[Tensor, Tensor], Tensor] = field(kw_only=True)

    def __call__(self, logits: Tensor, target: Tensor) -> Tensor:
        return self.function(logits, target)


CALIBRATION_BINS = 15


def accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """Fraction of positions whose largest logit is at the target class, in [0, 1]. `[run]`."""
    return (logits.argmax(2) == target).flatten(1).float().mean(1)


def balanced_accuracy(logits: Tensor, target: Tensor) -> Tensor:
    """Mean recall over the classes that occur in `target`, in [0, 1]. `[run]`. Brodersen et al. 2010."""
    matrix = confusion(logits, target).float()
    support = matrix.sum(2)
    recall = matrix.diagonal(dim1=1, dim2=2) / support.clamp(min=1)
    return recall.sum(1) / (support > 0).sum(1)


def worst_class_recall(logits: Tensor, target: Tensor) -> Tensor:
    """Smallest recall over the classes that occur in `target`, in [0, 1]. `[run]`."""
    matrix = confusion(logits, target).float()
    support = matrix.sum(2)
    recall = matrix.diagonal(dim1=1, dim2=2) / support.clamp(min=1)
    return recall.masked_fill(support == 0, 1.0).amin(1)


def calibration_error(logits: Tensor, target: Tensor) -> Tensor:
    """Expected calibration error of the largest probability over 15 bins of equal width, in [0, 1]. `[run]`.

    Mean over predictions of the gap between confidence and accuracy in their bin (Guo et al. 2017).
    """
    confidence, predicted = logits.softmax(2).max(2)
    gap = ((predicted == target).float() - confidence).flatten(1)
    bins = (confidence * CALIBRATION_BINS).long().clamp(max=CALIBRATION_BINS - 1).flatten(1)
    sums = gap.new_zeros(len(gap), CALIBRATION_BINS).scatter_add_(1, bins, gap)
    return sums.abs().sum(1) / gap.shape[1]


def mean_iou(logits: Tensor, target: Tensor) -> Tensor:
    """Mean intersection over union, over the classes that occur in prediction or target, in [0, 1]. `[run]`.

    Intersections and unions are counted over the whole batch (Everingham et al. 2010).
    """
    return mean_iou_of(confusion(logits, target))


def mean_iou_of(matrix: Tensor) -> Tensor:
    """The same, from the counts that `confusion` gives: `[run, class, class] -> [run]`."""
    intersection = matrix.diagonal(dim1=1, dim2=2)
    union = matrix.sum(1) + matrix.sum(2) - intersection
    return (intersection / union.clamp(min=1)).sum(1) / (union > 0).sum(1)


def negative_log_likelihood(logits: Tensor, target: Tensor) -> Tensor:
    """Mean of -log softmax(logits) at the target, in [0, ∞), nats. `[run]`."""
    runs = logits.shape[0]
    # [run, batch, class, *space] -> [run · batch, class, *space], the layout of F.cross_entropy.
    repeated = target.expand(runs, *logits.shape[1:2], *logits.shape[3:]).flatten(0, 1)
    return F.cross_entropy(logits.flatten(0, 1), repeated, reduction="none").unflatten(0, (runs, -1)).flatten(1).mean(1)


def confusion(logits: Tensor, target: Tensor) -> Tensor:
    """Counts of (true class, predicted class): `[run, class, class]`, int64."""
    runs, classes = logits.shape[0], logits.shape[2]
    pairs = target * classes + logits.argmax(2)
    offset = torch.arange(runs, device=logits.device).view(-1, *[1] * (pairs.ndim - 1)) * classes * classes
    counts = torch.bincount((pairs + offset).flatten(), minlength=runs * classes * classes)
    return counts.view(runs, classes, classes)


METRICS: Registry[LogitsMetric] = Registry("a metric")
"""Every metric by name, in listing order."""

for known in (
    LogitsMetric("accuracy", True, 0.0, 1.0, "fraction of correct predictions", function=accuracy),
    LogitsMetric("balanced_accuracy", True, 0.0, 1.0, "mean recall over classes", function=balanced_accuracy),
    LogitsMetric("worst_class_recall", True, 0.0, 1.0, "smallest recall of a class", function=worst_class_recall),
    LogitsMetric(
        "calibration_error", False, 0.0, 1.0, "expected calibration error, 15 bins", function=calibration_error
    ),
    LogitsMetric("mean_iou", True, 0.0, 1.0, "mean intersection over union over classes", function=mean_iou),
    LogitsMetric(
        "negative_log_likelihood",
        False,
        0.0,
        float("inf"),
        "mean -log p(target), nats",
        function=negative_log_likelihood,
    ),
):
    METRICS.add(known.name, known)


def metrics() -> dict[str, LogitsMetric]:
    """Every metric by name, in listing order."""
    return dict(METRICS)


def metric(name: str) -> LogitsMetric:
    """The metric called `name`.

    Raises:
        UserError: there is none of that name.
    """
    return METRICS.find(name)
