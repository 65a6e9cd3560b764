"""Boxes as x1, y1, x2, y2: MONAI has GIoU; the others are as detection repositories have them, on whole columns."""

from __future__ import annotations

import math

import torch
import torch.nn.functional as F
from monai.losses.giou_loss import BoxGIoULoss
from torch import Tensor

from .row import Form, Inputs, Row

EPS = 1e-7


def boxes(count: int) -> tuple[Tensor, Tensor]:
    """Boxes that overlap for the most part."""
    corner, sides = 4 * torch.rand(2, count, 2), 1 + 4 * torch.rand(2, count, 2)
    predicted, target = torch.cat([corner, corner + sides], 2)
    return predicted.clone(), target.clone()


BOX = Inputs(boxes, small=(256,), large=(65536,), tiny=(6,))


def _areas(corners: Tensor) -> Tensor:
    return (corners[:, 2] - corners[:, 0]) * (corners[:, 3] - corners[:, 1])


def _overlap(a: Tensor, b: Tensor) -> tuple[Tensor, Tensor]:
    """Intersection over union, and the union."""
    sides = (torch.minimum(a[:, 2:], b[:, 2:]) - torch.maximum(a[:, :2], b[:, :2])).clamp(min=0)
    common = sides[:, 0] * sides[:, 1]
    union = _areas(a) + _areas(b) - common
    return common / (union + EPS), union


def _outer(a: Tensor, b: Tensor) -> Tensor:
    return torch.maximum(a[:, 2:], b[:, 2:]) - torch.minimum(a[:, :2], b[:, :2])


def _shift(a: Tensor, b: Tensor) -> Tensor:
    """Squared distance of centres."""
    return ((a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2).square().sum(1)


def iou_by_columns(a: Tensor, b: Tensor) -> Tensor:
    return (1 - _overlap(a, b)[0]).mean()


def giou_by_columns(a: Tensor, b: Tensor) -> Tensor:
    overlap, union = _overlap(a, b)
    sides = _outer(a, b)
    outer = sides[:, 0] * sides[:, 1]
    return (1 - overlap + (outer - union) / (outer + EPS)).mean()


def diou_by_columns(a: Tensor, b: Tensor) -> Tensor:
    return (1 - _overlap(a, b)[0] + _shift(a, b) / (_outer(a, b).square().sum(1) + EPS)).mean()


def ciou_by_columns(a: Tensor, b: Tensor) -> Tensor:
    overlap = _overlap(a, b)[0]
    wide, high = (a[:, 2:] - a[:, :2]).unbind(1)
    true_wide, true_high = (b[:, 2:] - b[:, :2]).unbind(1)
    aspect = 4 / math.pi**2 * (torch.atan(true_wide / true_high) - torch.atan(wide / high)).square()
    with torch.no_grad():
        alpha = aspect / (1 - overlap + aspect + EPS)
    return (1 - overlap + _shift(a, b) / (_outer(a, b).square().sum(1) + EPS) + alpha * aspect).mean()


def eiou_by_columns(a: Tensor, b: Tensor) -> Tensor:
    squares = _outer(a, b).square()
    difference = (a[:, 2:] - a[:, :2] - b[:, 2:] + b[:, :2]).square()
    shift = _shift(a, b) / (squares.sum(1) + EPS)
    return (1 - _overlap(a, b)[0] + shift + (difference / (squares + EPS)).sum(1)).mean()


def _wasserstein(a: Tensor, b: Tensor) -> Tensor:
    return _shift(a, b) + (a[:, 2:] - a[:, :2] - b[:, 2:] + b[:, :2]).square().sum(1) / 4


def gaussian_wasserstein_by_columns(a: Tensor, b: Tensor) -> Tensor:
    """τ = 1."""
    return (1 - 1 / (1 + _wasserstein(a, b).sqrt())).mean()


def normalized_wasserstein_by_columns(a: Tensor, b: Tensor) -> Tensor:
    """C = 12.8."""
    return (1 - torch.exp(-_wasserstein(a, b).sqrt() / 12.8)).mean()


def box_l1_by_sum(a: Tensor, b: Tensor) -> Tensor:
    return (a - b).abs().sum(1).mean()


def box_smooth_l1_by_where(a: Tensor, b: Tensor) -> Tensor:
    error = (a - b).abs()
    return torch.where(error < 1, error.square() / 2, error - 0.5).sum(1).mean()


def alpha_iou_by_columns(a: Tensor, b: Tensor) -> Tensor:
    """α = 3."""
    return (1 - _overlap(a, b)[0] ** 3).mean()


def siou_by_columns(a: Tensor, b: Tensor) -> Tensor:
    """θ = 4."""
    shift = (a[:, :2] + a[:, 2:] - b[:, :2] - b[:, 2:]) / 2
    sine = shift.abs().prod(1) * 2 / (shift.square().sum(1) + EPS)
    distance = 1 - torch.exp((sine - 2)[:, None] * (shift / _outer(a, b)).square())
    first, second = a[:, 2:] - a[:, :2], b[:, 2:] - b[:, :2]
    shape = (1 - torch.exp(-(first - second).abs() / torch.maximum(first, second))) ** 4
    return (1 - _overlap(a, b)[0] + (distance + shape).sum(1) / 2).mean()


def wiou_by_columns(a: Tensor, b: Tensor) -> Tensor:
    factor = torch.exp(_shift(a, b) / _outer(a, b).square().sum(1).detach())
    return (factor * (1 - _overlap(a, b)[0])).mean()


def mpdiou_by_columns(a: Tensor, b: Tensor) -> Tensor:
    """D² = 2."""
    return (1 - _overlap(a, b)[0] + (a - b).square().sum(1) / 2).mean()


ROWS = [
    Row("alpha_iou", BOX, (), (alpha_iou_by_columns,)),
    Row("siou", BOX, (), (siou_by_columns,)),
    Row("wiou", BOX, (), (wiou_by_columns,)),
    Row("mpdiou", BOX, (), (mpdiou_by_columns,)),
    Row("giou", BOX, (Form("monai BoxGIoULoss", BoxGIoULoss()),), (giou_by_columns,)),
    Row("box_l1", BOX, (Form("torch l1_loss", lambda a, b: F.l1_loss(a, b) * 4),), (box_l1_by_sum,)),
    Row(
        "box_smooth_l1",
        BOX,
        (Form("torch smooth_l1_loss", lambda a, b: F.smooth_l1_loss(a, b) * 4),),
        (box_smooth_l1_by_where,),
    ),
    Row("iou", BOX, (), (iou_by_columns,)),
    Row("diou", BOX, (), (diou_by_columns,)),
    Row("ciou", BOX, (), (ciou_by_columns,)),
    Row("eiou", BOX, (), (eiou_by_columns,)),
    Row("gaussian_wasserstein", BOX, (), (gaussian_wasserstein_by_columns,)),
    Row("normalized_wasserstein", BOX, (), (normalized_wasserstein_by_columns,)),
]
