"""Metrics of a tracker, for one run or many: leading axes `...` stay, samples are averaged."""

from __future__ import annotations

import torch
from torch import Tensor

from lossearch.tasks.base import Metric
from lossearch.tasks.detection.metrics import intersection_over_union

THRESHOLDS = 21
"""Of the success curve, from 0 to 1 (Wu, Lim and Yang 2013)."""

METRICS = {
    metric.name: metric
    for metric in (
        Metric("success", True, 0.0, 1.0, "area under the success curve: share of boxes by the IoU that they exceed"),
        Metric("overlap", True, 0.0, 1.0, "mean IoU of predicted and true boxes"),
        Metric("centre_error", False, 0.0, description="mean distance of the boxes' centres, pixels of the film"),
    )
}
"""By name."""


def measured(boxes: Tensor, true_boxes: Tensor, scale: float) -> dict[str, Tensor]:
    """All metrics.

    Args:
        boxes: `[..., sample, 4]`, x1, y1, x2, y2.
        true_boxes: the same.
        scale: pixels of the film that one of the boxes' is wide.
    """
    overlap = intersection_over_union(boxes, true_boxes)
    thresholds = torch.linspace(0.0, 1.0, THRESHOLDS, device=boxes.device)
    gap = (boxes[..., :2] + boxes[..., 2:] - true_boxes[..., :2] - true_boxes[..., 2:]) / 2.0
    return {
        "success": (overlap.unsqueeze(-1) > thresholds).float().mean((-1, -2)),
        "overlap": overlap.mean(-1),
        "centre_error": scale * gap.norm(dim=-1).mean(-1),
    }
