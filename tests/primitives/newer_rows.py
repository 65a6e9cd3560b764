"""Rows of the primitives of newer losses: robust to wrong labels, and of boxes."""

from __future__ import annotations

import torch
from torch import Tensor

from lossearch import primitives as pr
from lossearch.ir.operators import functions as fn

from .rows import Row, corners, fp, p


def _negative(x: Tensor, t: Tensor) -> Tensor:
    above = p(x).log().clamp(min=-4.0) + 4.0
    return 1 - (t * above).sum(1) / above.sum(1)


def _sharpened(x: Tensor, t: Tensor) -> Tensor:
    top = (x == x.amax(1, keepdim=True)).to(x.dtype)
    return -(t * ((p(x) + 3 * top) / 4).log()).sum(1)


def _clipped(x: Tensor) -> Tensor:
    return x / (x.square().sum(1, keepdim=True).sqrt() / 2.5).clamp(min=1)


def _jensen_shannon(x: Tensor, t: Tensor) -> Tensor:
    mixed = 0.3 * t + 0.7 * p(x)

    def divergence(of: Tensor) -> Tensor:
        return (torch.special.xlogy(of, of) - of * mixed.log()).sum(1)

    return 0.3 * divergence(t) + 0.7 * divergence(p(x))


ROBUST = [
    Row(
        "normalized_cross_entropy",
        "dense",
        pr.normalized_cross_entropy,
        lambda x, t: (t * p(x).log()).sum(1) / p(x).log().sum(1),
    ),
    Row(
        "normalized_negative_cross_entropy",
        "dense",
        lambda x, t: pr.normalized_negative_cross_entropy(x, t, fn.constant(-4.0)),
        _negative,
    ),
    Row(
        "asymmetric_generalized_term",
        "dense",
        lambda x, t: pr.asymmetric_generalized_term(fp(x), fn.constant(2.0), fn.constant(1.5)),
        lambda x, t: (3**1.5 - (2 + p(x)) ** 1.5) / 1.5,
    ),
    Row(
        "asymmetric_squared_error",
        "dense",
        lambda x, t: pr.asymmetric_squared_error(x, t, fn.constant(5.0)),
        lambda x, t: ((p(x) - 5 * t) ** 2).mean(1),
    ),
    Row(
        "epsilon_softmax_cross_entropy",
        "dense",
        lambda x, t: pr.epsilon_softmax_cross_entropy(x, t, fn.constant(3.0)),
        _sharpened,
    ),
    Row("clipped_logits", "dense", lambda x, t: pr.clipped_logits(x, fn.constant(2.5)), lambda x, t: _clipped(x)),
    Row("jensen_shannon", "dense", lambda x, t: pr.jensen_shannon(x, t, fn.constant(0.3)), _jensen_shannon),
]


def _shift(boxes: Tensor, target: Tensor) -> Tensor:
    """From centre to centre, [batch, 2]."""
    return (boxes[:, :2] + boxes[:, 2:] - target[:, :2] - target[:, 2:]) / 2


def _wise(boxes: Tensor, target: Tensor) -> Tensor:
    diagonal = corners(boxes, target)[1].square().sum(1).detach()
    return (_shift(boxes, target).square().sum(1) / diagonal).exp()


def _distance_cost(boxes: Tensor, target: Tensor) -> Tensor:
    shift = _shift(boxes, target)
    angle = torch.sin(2 * torch.atan2(shift[:, 1].abs(), shift[:, 0].abs()))
    share = (shift / corners(boxes, target)[1]) ** 2
    return (1 - torch.exp((angle - 2)[:, None] * share)).sum(1)


def _shape_cost(boxes: Tensor, target: Tensor) -> Tensor:
    first, second = (b[:, 2:] - b[:, :2] for b in (boxes, target))
    return ((1 - torch.exp(-(first - second).abs() / torch.maximum(first, second))) ** 3).sum(1)


BOXES = [
    Row("box_wise_factor", "box", pr.box_wise_factor, _wise),
    Row("box_corner_distance", "box", pr.box_corner_distance, lambda b, t: ((b - t) ** 2).sum(1)),
    Row("box_distance_cost", "box", pr.box_distance_cost, _distance_cost),
    Row("box_shape_cost", "box", lambda b, t: pr.box_shape_cost(b, t, fn.constant(3.0)), _shape_cost),
]
