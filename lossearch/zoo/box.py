"""Losses for boxes in corner form: `boxes[batch, coord]` and `target[batch, coord]` as x1, y1, x2, y2."""

from __future__ import annotations

import math

import lossearch.primitives as pr
from lossearch.ir.core.axes import LARGEST_AXIS
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import NON_NEGATIVE, POSITIVE, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import choose, hand_designed


@hand_designed(signature="box", source="Rezatofighi et al. 2019")
def giou(boxes: Expr, target: Expr) -> Expr:
    """Generalised IoU loss 1 - (|I|/|U| - |C \\ U|/|C|) of each box, with C the smallest box around both: in [0, 2]."""
    return 1 - pr.box_giou(boxes, target)


@hand_designed(signature="box", source="Carion et al. 2020")
def box_l1(boxes: Expr, target: Expr) -> Expr:
    """Absolute error Σ |b - b'| over the four corner coordinates of each box.

    DETR takes it of centres and sides, as a share of the image; the corners weigh a shift twice.
    """
    return fn.sum(fn.abs(boxes - target), "coord")


@hand_designed(
    signature="box",
    source="Girshick 2015",
    parameters=[Parameter("beta", 1.0, 1e-3, 1e3, tunable=True, log=True, search=(0.05, 10.0), defined=POSITIVE)],
    limits={("beta", 0.0): box_l1},
)
def box_smooth_l1(boxes: Expr, target: Expr, beta: Expr) -> Expr:
    """Smooth L1 summed over the four corner coordinates: r²/(2β) where |r| ≤ β, else |r| - β/2; |r| for β = 0."""
    return fn.sum(pr.huber_penalty(boxes - target, beta), "coord") / beta


@hand_designed(signature="box", source="Yu et al. 2016")
def iou(boxes: Expr, target: Expr, *, form: str = "linear") -> Expr:
    """IoU loss 1 - |I|/|U| of each box; `form="log"` is Yu et al.'s own -log(|I|/|U|), at most 27.6 (IoU 1e-12)."""
    overlap = pr.box_iou(boxes, target)
    return choose("form", form, {"linear": 1 - overlap, "log": -fn.log(overlap)})


@hand_designed(signature="box", source="Zheng et al. 2020")
def diou(boxes: Expr, target: Expr) -> Expr:
    """Distance-IoU loss 1 - IoU + ρ²/c²: ρ the distance of centres, c the enclosure's diagonal; in [0, 2)."""
    return 1 - pr.box_iou(boxes, target) + pr.box_centre_penalty(boxes, target)


@hand_designed(signature="box", source="Zheng et al. 2020")
def ciou(boxes: Expr, target: Expr) -> Expr:
    """Complete-IoU loss DIoU + α·v: v compares aspect ratios, α = v/(1 - IoU + v) has no gradient, as published."""
    overlap, aspect = pr.box_iou(boxes, target), pr.box_aspect_penalty(boxes, target)
    trade = fn.stop_gradient(fn.fraction(aspect, 1 - overlap + aspect))
    return 1 - overlap + pr.box_centre_penalty(boxes, target) + trade * aspect


@hand_designed(signature="box", source="Zhang et al. 2021")
def eiou(boxes: Expr, target: Expr) -> Expr:
    """Efficient-IoU loss DIoU + (w - w')²/W² + (h - h')²/H² with the enclosure's sides W and H."""
    return 1 - pr.box_iou(boxes, target) + pr.box_centre_penalty(boxes, target) + pr.box_side_penalty(boxes, target)


@hand_designed(
    signature="box",
    source="He et al. 2021",
    parameters=[Parameter("alpha", 3.0, 0.1, 10.0, tunable=True, search=(0.5, 6.0), defined=POSITIVE)],
)
def alpha_iou(boxes: Expr, target: Expr, alpha: Expr) -> Expr:
    """Alpha-IoU loss 1 - IoU^α of each box: α > 1 attends to boxes that overlap much; `iou` at α = 1."""
    return 1 - pr.box_iou(boxes, target) ** alpha


@hand_designed(
    signature="box",
    source="Gevorgyan 2022",
    parameters=[Parameter("theta", 4.0, 1.0, 10.0, tunable=True, search=(2.0, 6.0), defined=POSITIVE)],
)
def siou(boxes: Expr, target: Expr, theta: Expr) -> Expr:
    """SIoU loss 1 - IoU + (Δ + Ω)/2: Δ the cost of the shift of centres by its angle, Ω that of other sides.

    Δ = Σ 1 - e^(-γρ) and Ω = Σ (1 - e^(-ω))^θ, each over width and height.
    """
    cost = pr.box_distance_cost(boxes, target) + pr.box_shape_cost(boxes, target, theta)
    return 1 - pr.box_iou(boxes, target) + cost / 2


@hand_designed(signature="box", source="Tong et al. 2023")
def wiou(boxes: Expr, target: Expr) -> Expr:
    """Wise-IoU v1: (1 - IoU)·exp(ρ²/c²), c² without gradient: ρ the distance of centres, c the enclosure's diagonal.

    Versions 2 and 3 also weigh by the mean of the loss: `wiou_v2`, `wiou_v3`.
    """
    return pr.box_wise_factor(boxes, target) * (1 - pr.box_iou(boxes, target))


def _outlier_degree(distance: Expr) -> Expr:
    """β: how far from overlap a box is, relative to the batch's mean."""
    # At most the number of boxes: it tells the types.
    return fn.clamp(distance / fn.mean(distance, "batch"), upper=LARGEST_AXIS)


@hand_designed(
    signature="box",
    source="Tong et al. 2023",
    parameters=[Parameter("gamma", 0.5, 0.0, 1.5, tunable=True, defined=NON_NEGATIVE)],
)
def wiou_v2(boxes: Expr, target: Expr, gamma: Expr) -> Expr:
    """Wise-IoU v2: `wiou` times β^γ, β = (1 - IoU)/mean(1 - IoU) without gradient: boxes that fit badly count more.

    The paper's mean runs over the training; here it is that of the batch, which is all that a loss knows.
    """
    distance = 1 - pr.box_iou(boxes, target)
    return fn.stop_gradient(_outlier_degree(distance) ** gamma) * (pr.box_wise_factor(boxes, target) * distance)


@hand_designed(
    signature="box",
    source="Tong et al. 2023",
    parameters=[
        Parameter("alpha", 1.9, 1.01, 4.0, tunable=True, search=(1.2, 3.0), defined=(1.0, 100.0)),
        Parameter("delta", 3.0, 0.5, 8.0, tunable=True, search=(1.0, 6.0), defined=POSITIVE),
    ],
)
def wiou_v3(boxes: Expr, target: Expr, alpha: Expr, delta: Expr) -> Expr:
    """Wise-IoU v3: `wiou` times β/(δ·α^(β - δ)), β as in `wiou_v2`: boxes that fit well or hardly at all count less.

    The factor is one at β = δ. The paper's mean runs over the training; here it is that of the batch, which is all
    that a loss knows.
    """
    distance = 1 - pr.box_iou(boxes, target)
    degree = _outlier_degree(distance)
    focus = degree / delta * fn.exp((delta - degree) * fn.log(alpha))
    return fn.stop_gradient(focus) * (pr.box_wise_factor(boxes, target) * distance)


@hand_designed(
    signature="box",
    source="Ma and Xu 2023",
    parameters=[
        Parameter("diagonal", math.sqrt(2.0), 1e-2, 1e4, tunable=True, log=True, search=(0.1, 1e3), defined=POSITIVE)
    ],
)
def mpdiou(boxes: Expr, target: Expr, diagonal: Expr) -> Expr:
    """MPDIoU loss 1 - IoU + (d₁² + d₂²)/D², d the distances of both corners, D the `diagonal` of the image.

    D = √2 is that of boxes as shares of the image; for boxes in pixels give √(width² + height²).
    """
    return 1 - pr.box_iou(boxes, target) + pr.box_corner_distance(boxes, target) / fn.square(diagonal)


@hand_designed(
    signature="box",
    source="Yang et al. 2021",
    parameters=[Parameter("tau", 1.0, 1.0, 100.0, tunable=True, log=True, search=(1.0, 10.0), defined=POSITIVE)],
)
def gaussian_wasserstein(boxes: Expr, target: Expr, tau: Expr, *, form: str = "sqrt") -> Expr:
    """Gaussian Wasserstein loss 1 - 1/(τ + f(D²)), D² the squared distance of the boxes as Gaussians; f = √ or log1p.

    It is in [1 - 1/τ, 1), from 0 with τ = 1, the default.
    """
    distance = pr.box_gaussian_distance(boxes, target)
    size = choose("form", form, {"sqrt": _root(distance), "log": fn.log1p(distance)})
    # 1 - 1/(τ + f), exact where f is near zero and τ = 1.
    return fn.fraction(size, size + tau) + (tau - 1) / (size + tau)


@hand_designed(
    signature="box",
    source="Wang et al. 2021",
    parameters=[
        Parameter("constant", 12.8, 0.1, 1000.0, tunable=True, log=True, search=(1.0, 100.0), defined=POSITIVE)
    ],
)
def normalized_wasserstein(boxes: Expr, target: Expr, constant: Expr) -> Expr:
    """Normalised Wasserstein loss 1 - exp(-D/C), D the distance of the boxes as Gaussians, C near their mean size."""
    return -fn.expm1(-(_root(pr.box_gaussian_distance(boxes, target)) / constant))


def _root(value: Expr) -> Expr:
    """√x as x/√x: zero at zero with a finite slope, where a guarded root is 1e-6."""
    return value / fn.sqrt(value)
