"""Metrics of segmentations of one run or many, from counts that add up over the parts of a split."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch
import torch.nn.functional as F
from torch import Tensor

from lossearch.tasks.base import Metric
from lossearch.tasks.metrics import confusion, mean_iou_of

TOLERANCE = 2
"""Pixels, along each axis, by which a predicted boundary may lie beside the true one."""

Counts = Mapping[str, Tensor]
"""What `counts` gives, by name; those of several parts are added."""


@dataclass(frozen=True)
class SegmentationMetric(Metric):
    """A metric of a segmentation. Calling it gives one value per run.

    Attributes:
        function: from `Counts` to `[run]`.
    """

    function: Callable[[Counts], Tensor] = field(kw_only=True)

    def __call__(self, found: Counts) -> Tensor:
        return self.function(found)


def counts(logits: Tensor, target: Tensor) -> dict[str, Tensor]:
    """What metrics are made of.

    Args:
        logits: `[run, sample, class, height, width]`.
        target: `[run, sample, height, width]`, class numbers; 0 is background.

    Returns:
        `confusion[run, class, class]`, pixels by true and predicted class; and of the boundaries of all classes but
        the background, `predicted[run]` and `true[run]` pixels, and `predicted_near[run]` and `true_near[run]`, those
        that have a pixel of the other boundary within the tolerance.
    """
    classes = logits.shape[2]
    predicted, true = (_boundaries(labels, classes) for labels in (logits.argmax(2), target))
    return {
        "confusion": confusion(logits, target),
        "predicted": _sizes(predicted),
        "predicted_near": _sizes(predicted * _grown(true, TOLERANCE)),
        "true": _sizes(true),
        "true_near": _sizes(true * _grown(predicted, TOLERANCE)),
    }


def mean_iou(found: Counts) -> Tensor:
    """Mean intersection over union, over the classes that occur in prediction or target, in [0, 1]. `[run]`."""
    return mean_iou_of(found["confusion"])


def dice(found: Counts) -> Tensor:
    """Mean over the classes but the background of 2 · intersection / (predicted + true), in [0, 1]. `[run]`.

    Over those that occur in prediction or target; 1 where none does. Dice 1945.
    """
    matrix = found["confusion"]
    both = (matrix.sum(1) + matrix.sum(2))[:, 1:]
    value = 2 * matrix.diagonal(dim1=1, dim2=2)[:, 1:] / both.clamp(min=1)
    occurring = (both > 0).sum(1)
    return torch.where(occurring > 0, value.sum(1) / occurring.clamp(min=1), 1.0)


def boundary_f1(found: Counts) -> Tensor:
    """Harmonic mean of the shares of predicted and of true boundary pixels that lie near the other, in [0, 1]. `[run]`.

    1 where there are no boundaries, 0 where they are on one side alone. Csurka, Larlus and Perronnin 2013, with a
    tolerance of 2 pixels and boundaries of all samples counted together.
    """
    precision = found["predicted_near"] / found["predicted"].clamp(min=1)
    recall = found["true_near"] / found["true"].clamp(min=1)
    value = 2 * precision * recall / (precision + recall).clamp(min=1e-12)
    return torch.where(found["predicted"] + found["true"] > 0, value, 1.0)


def _boundaries(labels: Tensor, classes: int) -> Tensor:
    """Pixels of each class but the background with one of another class among their 8 neighbours in the sample.

    `[run, sample, height, width] -> [run, sample · class, height, width]`, 0 or 1.
    """
    regions = torch.stack([labels == number for number in range(1, classes)], 2).flatten(1, 2).float()
    return regions * _grown(1.0 - regions, 1)


def _grown(pixels: Tensor, by: int) -> Tensor:
    """Where a pixel lies within a square of side 2 · by + 1."""
    return F.max_pool2d(pixels, 2 * by + 1, stride=1, padding=by)


def _sizes(pixels: Tensor) -> Tensor:
    return pixels.flatten(1).sum(1, dtype=torch.float64).long()


METRICS = {
    metric.name: metric
    for metric in (
        SegmentationMetric("mean_iou", True, 0.0, 1.0, "mean intersection over union over classes", function=mean_iou),
        SegmentationMetric("dice", True, 0.0, 1.0, "mean Dice coefficient over classes of objects", function=dice),
        SegmentationMetric("boundary_f1", True, 0.0, 1.0, "F1 of boundaries within 2 pixels", function=boundary_f1),
    )
}
"""By name."""
