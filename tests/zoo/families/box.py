"""Boxes: the formulas of newer IoU losses as their papers write them, from corners."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..harness import Case
from ..oracles import iou
from ..samples import Samples


def alpha_iou(boxes: Tensor, target: Tensor, alpha: float) -> Tensor:
    """Equation 3 of He et al."""
    return 1 - (1 - iou(boxes, target)) ** alpha


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """A quotient; zero where the whole has no extent."""
    return torch.where(whole > 0, part / torch.where(whole > 0, whole, 1.0), 0.0)


def _shift_and_enclosure(boxes: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """From centre to centre, and the sides of the enclosure, [batch, 2] each."""
    shift = (boxes[:, :2] + boxes[:, 2:] - target[:, :2] - target[:, 2:]) / 2
    around = torch.maximum(boxes[:, 2:], target[:, 2:]) - torch.minimum(boxes[:, :2], target[:, :2])
    return shift, around


def siou(boxes: Tensor, target: Tensor, theta: float) -> Tensor:
    """Gevorgyan's angle cost 1 - 2 sin²(α - π/4), with α the angle of the shift, distance cost and shape cost."""
    shift, around = _shift_and_enclosure(boxes, target)
    apart = (shift != 0).any(1)
    across, along = torch.where(apart[:, None], shift.abs(), 1.0).unbind(1)
    angle = torch.where(apart, 1 - 2 * torch.sin(torch.atan2(along, across) - math.pi / 4) ** 2, 0.0)
    distance = (1 - torch.exp(-(2 - angle)[:, None] * _ratio(shift, around) ** 2)).sum(1)
    sides = [(b[:, 2:] - b[:, :2]).clamp(min=0) for b in (boxes, target)]
    shape = (1 - torch.exp(-_ratio((sides[0] - sides[1]).abs(), torch.maximum(*sides)))) ** theta
    return iou(boxes, target) + (distance + shape.sum(1)) / 2


def wiou(boxes: Tensor, target: Tensor) -> Tensor:
    """Equations 6 and 7 of Tong et al., the enclosure detached."""
    shift, around = _shift_and_enclosure(boxes, target)
    return torch.exp(_ratio(shift.square().sum(1), around.square().sum(1).detach())) * iou(boxes, target)


def _outlier_degree(boxes: Tensor, target: Tensor) -> Tensor:
    """Equation 9 of Tong et al. with the batch's mean; zero where all boxes fit."""
    distance = iou(boxes, target).detach()
    return _ratio(distance, distance.mean())


def wiou_v2(boxes: Tensor, target: Tensor, gamma: float) -> Tensor:
    """Equation 10 of Tong et al."""
    return _outlier_degree(boxes, target) ** gamma * wiou(boxes, target)


def wiou_v3(boxes: Tensor, target: Tensor, alpha: float, delta: float) -> Tensor:
    """Equation 11 of Tong et al."""
    beta = _outlier_degree(boxes, target)
    return beta / (delta * alpha ** (beta - delta)) * wiou(boxes, target)


def mpdiou(boxes: Tensor, target: Tensor, diagonal: float) -> Tensor:
    """Algorithm 1 of Ma and Xu."""
    corners = [(boxes[:, k : k + 2] - target[:, k : k + 2]).square().sum(1) for k in (0, 2)]
    return iou(boxes, target) + (corners[0] + corners[1]) / diagonal**2


CASES = [
    *(Case("alpha_iou", alpha_iou, {"alpha": alpha}) for alpha in (3.0, 1.5)),
    *(Case("siou", siou, {"theta": theta}, twice=False) for theta in (4.0, 2.0)),  # centres may coincide
    Case("wiou", wiou),
    *(Case("wiou_v2", wiou_v2, {"gamma": gamma}) for gamma in (0.5, 1.5)),
    *(Case("wiou_v3", wiou_v3, {"alpha": a, "delta": d}) for a, d in ((1.9, 3.0), (1.4, 5.0))),
    *(Case("mpdiou", mpdiou, {"diagonal": diagonal}) for diagonal in (math.sqrt(2), 640.0)),
]

ORDINARY: dict[str, Samples] = {}
EMPTY: dict[str, Samples] = {}
EXTREME: dict[str, Samples] = {}
