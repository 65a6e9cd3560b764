"""Metrics of a detector on a grid, for one run or many: leading axes `...` stay, all others are counted over."""

from __future__ import annotations

import torch
from torch import Tensor

from lossearch.tasks.base import Metric

MATCH = 0.5
"""Intersection over union from which a box counts as found (Everingham et al. 2010)."""

METRICS = {
    metric.name: metric
    for metric in (
        Metric("detection_f1", True, 0.0, 1.0, "F1 of digits found with their class and a box of IoU at least 0.5"),
        Metric("mean_iou_of_boxes", True, 0.0, 1.0, "mean IoU of the boxes of all digits, right class or not"),
        Metric("cell_accuracy", True, 0.0, 1.0, "share of grid cells whose class is right, empty ones included"),
    )
}
"""By name."""


def intersection_over_union(first: Tensor, second: Tensor) -> Tensor:
    """IoU of boxes x1, y1, x2, y2 along the last axis, in [0, 1]; 0 where both are empty."""
    low = torch.maximum(first[..., :2], second[..., :2])
    high = torch.minimum(first[..., 2:], second[..., 2:])
    common = (high - low).clamp(min=0.0).prod(-1)
    union = _area(first) + _area(second) - common
    return torch.where(union > 0.0, common / union.clamp(min=torch.finfo(union.dtype).tiny), 0.0)


def measured(logits: Tensor, boxes: Tensor, classes: Tensor, true_boxes: Tensor, background: int) -> dict[str, Tensor]:
    """All metrics.

    Each cell says one thing: that there is no digit, or which one and where. So a predicted digit can match the true
    one of its own cell alone, and no box is found twice.

    Args:
        logits: `[..., scene, class, cell]`.
        boxes: `[..., scene, cell, 4]`.
        classes: `[..., scene, cell]`, `background` where there is no digit.
        true_boxes: `[..., scene, cell, 4]`.
        background: class of an empty cell.
    """
    predicted = logits.argmax(-2)
    overlap = intersection_over_union(boxes, true_boxes)
    present = classes != background
    found = present & (predicted == classes) & (overlap >= MATCH)
    counts = [mask.flatten(-2).sum(-1).float() for mask in (found, predicted != background, present)]
    hits, claimed, existing = counts
    overlaps = torch.where(present, overlap, torch.zeros_like(overlap)).flatten(-2).sum(-1)
    return {
        "detection_f1": 2.0 * hits / (claimed + existing).clamp(min=1.0),
        "mean_iou_of_boxes": overlaps / existing.clamp(min=1.0),
        "cell_accuracy": (predicted == classes).float().flatten(-2).mean(-1),
    }


def _area(boxes: Tensor) -> Tensor:
    return (boxes[..., 2:] - boxes[..., :2]).clamp(min=0.0).prod(-1)
