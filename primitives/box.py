"""Overlap of axis-aligned boxes in corner form `boxes[batch, coord]` = x1, y1, x2, y2 with x1 ≤ x2 and y1 ≤ y2.

Sides are max(x2 - x1, 0): a box with x2 < x1 is empty. Where a union or enclosure has no area, the ratio is zero.
Ratios do not depend on the unit of length, down to sides of 1e-9.
"""

from __future__ import annotations

import math

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.primitive import primitive
from lossearch.ir.operators import functions as fn

FAMILY = "box"
X1, Y1, X2, Y2 = range(4)


def _corner(boxes: Expr, index: int) -> Expr:
    return fn.select(boxes, "coord", index)


@primitive(family=FAMILY)
def box_width(boxes: Expr) -> Expr:
    """Width of boxes[batch, coord]: [batch], ≥ 0."""
    return fn.relu(_corner(boxes, X2) - _corner(boxes, X1))


@primitive(family=FAMILY)
def box_height(boxes: Expr) -> Expr:
    """Height of boxes[batch, coord]: [batch], ≥ 0."""
    return fn.relu(_corner(boxes, Y2) - _corner(boxes, Y1))


@primitive(family=FAMILY)
def box_area(boxes: Expr) -> Expr:
    """Area of boxes[batch, coord]: [batch], ≥ 0."""
    return box_width(boxes) * box_height(boxes)


@primitive(family=FAMILY)
def box_intersection(boxes: Expr, target: Expr) -> Expr:
    """Area common to two boxes[batch, coord]: [batch], ≥ 0."""
    width = fn.minimum(_corner(boxes, X2), _corner(target, X2)) - fn.maximum(_corner(boxes, X1), _corner(target, X1))
    height = fn.minimum(_corner(boxes, Y2), _corner(target, Y2)) - fn.maximum(_corner(boxes, Y1), _corner(target, Y1))
    return fn.relu(width) * fn.relu(height)


@primitive(family=FAMILY)
def box_union(boxes: Expr, target: Expr) -> Expr:
    """Area covered by either of two boxes[batch, coord]: [batch], ≥ 0."""
    # A + B - I ≥ 0 always; relu says so to the types.
    return fn.relu(box_area(boxes) + box_area(target) - box_intersection(boxes, target))


@primitive(family=FAMILY)
def box_enclosure(boxes: Expr, target: Expr) -> Expr:
    """Area of the smallest box around two boxes[batch, coord]: [batch], ≥ 0."""
    width = fn.maximum(_corner(boxes, X2), _corner(target, X2)) - fn.minimum(_corner(boxes, X1), _corner(target, X1))
    height = fn.maximum(_corner(boxes, Y2), _corner(target, Y2)) - fn.minimum(_corner(boxes, Y1), _corner(target, Y1))
    return fn.relu(width) * fn.relu(height)


@primitive(family=FAMILY)
def box_iou(boxes: Expr, target: Expr) -> Expr:
    """Intersection over union of two boxes[batch, coord]: [batch] in [0, 1]. Jaccard 1912, Yu et al. 2016."""
    return fn.fraction(box_intersection(boxes, target), box_union(boxes, target))


@primitive(family=FAMILY)
def box_giou(boxes: Expr, target: Expr) -> Expr:
    """Generalised IoU: IoU minus the share of the enclosure that is empty, in (-1, 1]. Rezatofighi et al. 2019."""
    enclosure = box_enclosure(boxes, target)
    # An enclosure is no smaller than what it encloses; relu says so to the types.
    empty = fn.relu(enclosure - box_union(boxes, target))
    return box_iou(boxes, target) - fn.fraction(empty, enclosure)


def _centre_shift(boxes: Expr, target: Expr) -> tuple[Expr, Expr]:
    """From one centre to the other, along x and y."""
    # Differences of corners first: far from the origin, sums of corners lose what their difference is about.
    x = (_corner(boxes, X1) - _corner(target, X1)) + (_corner(boxes, X2) - _corner(target, X2))
    y = (_corner(boxes, Y1) - _corner(target, Y1)) + (_corner(boxes, Y2) - _corner(target, Y2))
    return x / 2, y / 2


def _centre_distance(boxes: Expr, target: Expr) -> Expr:
    """Squared distance of two boxes' centres: [batch], ≥ 0."""
    x, y = _centre_shift(boxes, target)
    return fn.square(x) + fn.square(y)


def _around(boxes: Expr, target: Expr) -> tuple[Expr, Expr]:
    """Width and height of the smallest box around both."""
    width = fn.maximum(_corner(boxes, X2), _corner(target, X2)) - fn.minimum(_corner(boxes, X1), _corner(target, X1))
    height = fn.maximum(_corner(boxes, Y2), _corner(target, Y2)) - fn.minimum(_corner(boxes, Y1), _corner(target, Y1))
    return width, height


@primitive(family=FAMILY)
def box_centre_penalty(boxes: Expr, target: Expr) -> Expr:
    """Squared distance of centres over the squared diagonal of the enclosure: [batch] in [0, 1). Zheng et al. 2020."""
    width, height = _around(boxes, target)
    return fn.fraction(_centre_distance(boxes, target), fn.square(width) + fn.square(height))


@primitive(family=FAMILY)
def box_aspect_penalty(boxes: Expr, target: Expr) -> Expr:
    """4/π² · (arctan(w'/h') - arctan(w/h))² of two boxes: [batch] in [0, 1]. Zheng et al. 2020."""
    angles = [fn.atan2(box_width(b), box_height(b)) for b in (target, boxes)]
    return fn.square(angles[0] - angles[1]) * (4 / math.pi**2)


@primitive(family=FAMILY)
def box_side_penalty(boxes: Expr, target: Expr) -> Expr:
    """(w - w')²/W² + (h - h')²/H² with the enclosure's sides W and H: [batch], ≥ 0. Zhang et al. 2021."""
    width, height = _around(boxes, target)
    wide = fn.fraction(fn.square(box_width(boxes) - box_width(target)), fn.square(width))
    high = fn.fraction(fn.square(box_height(boxes) - box_height(target)), fn.square(height))
    return wide + high


@primitive(family=FAMILY)
def box_gaussian_distance(boxes: Expr, target: Expr) -> Expr:
    """Squared 2-Wasserstein distance of N(centre, diag(w²/4, h²/4)) for two boxes: [batch], ≥ 0. Yang et al. 2021."""
    wide = fn.square(box_width(boxes) - box_width(target))
    high = fn.square(box_height(boxes) - box_height(target))
    return _centre_distance(boxes, target) + (wide + high) / 4


@primitive(family=FAMILY)
def box_wise_factor(boxes: Expr, target: Expr) -> Expr:
    """exp(ρ²/c²): ρ the distance of centres, c the enclosure's diagonal, held: [batch] in [1, e). Tong et al. 2023."""
    width, height = _around(boxes, target)
    diagonal = fn.stop_gradient(fn.square(width) + fn.square(height))
    return fn.exp(fn.fraction(_centre_distance(boxes, target), diagonal))


@primitive(family=FAMILY)
def box_corner_distance(boxes: Expr, target: Expr) -> Expr:
    """Squared distance of the upper left corners plus that of the lower right ones: [batch], ≥ 0. Ma and Xu 2023."""
    return fn.sum(fn.square(boxes - target), "coord")


@primitive(family=FAMILY)
def box_distance_cost(boxes: Expr, target: Expr) -> Expr:
    """Σ 1 - e^(-γρ) over ρ = (Δx/W)², (Δy/H)², the shifts of centres in sides of the enclosure: [batch] in [0, 2).

    γ = 2 - Λ, Λ = 2|Δx||Δy|/(Δx² + Δy²) the sine of twice the angle of the shift. Gevorgyan 2022.
    """
    width, height = _around(boxes, target)
    x, y = (fn.square(shift) for shift in _centre_shift(boxes, target))
    across, along = (fn.abs(shift) for shift in _centre_shift(boxes, target))
    # 2 - Λ = 1 + (|Δx| - |Δy|)²/(Δx² + Δy²), a fraction that is not at its bound where the angle is 45°.
    gamma = 1 + fn.fraction(fn.square(across - along), x + y)
    wide, high = fn.fraction(x, fn.square(width)), fn.fraction(y, fn.square(height))
    return -(fn.expm1(-(gamma * wide)) + fn.expm1(-(gamma * high)))


@primitive(family=FAMILY)
def box_shape_cost(boxes: Expr, target: Expr, theta: Expr) -> Expr:
    """Σ (1 - e^(-ω))^θ over ω = |w - w'|/max(w, w'), |h - h'|/max(h, h'): [batch] in [0, 2); θ > 0. Gevorgyan 2022."""

    def cost(first: Expr, second: Expr) -> Expr:
        return (-fn.expm1(-fn.fraction(fn.abs(first - second), fn.maximum(first, second)))) ** theta

    return cost(box_width(boxes), box_width(target)) + cost(box_height(boxes), box_height(target))
