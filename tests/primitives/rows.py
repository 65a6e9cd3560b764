"""Every primitive applied to a signature's prediction and target, beside its definition in plain torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Categorical, Normal

from lossearch import primitives as pr
from lossearch.ir import Expr
from lossearch.ir import functions as fn

Build = Callable[[Expr, Expr], Expr]
Formula = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True)
class Row:
    """A primitive applied to a signature's prediction and target, and the same in plain torch."""

    name: str
    signature: str
    build: Build
    formula: Formula


def p(x: Tensor) -> Tensor:
    return torch.softmax(x, 1)


def fp(x: Expr) -> Expr:
    return fn.softmax(x, "class")


def wrong(x: Tensor, t: Tensor) -> Tensor:
    return (p(x) * (1 - t)).amax(1)


def moved(cosine: Tensor, target: Tensor, true_cosine: Callable[[Tensor], Tensor]) -> Tensor:
    """The cosines with each true class's own replaced."""
    return torch.where(target > 0, true_cosine(cosine), cosine)


def corners(boxes: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """Sides of the common and of the enclosing box, [batch, 2] each."""
    common = torch.minimum(boxes[:, 2:], target[:, 2:]) - torch.maximum(boxes[:, :2], target[:, :2])
    around = torch.maximum(boxes[:, 2:], target[:, 2:]) - torch.minimum(boxes[:, :2], target[:, :2])
    return common.clamp(min=0), around


def area(boxes: Tensor) -> Tensor:
    return (boxes[:, 2:] - boxes[:, :2]).prod(1)


def union(boxes: Tensor, target: Tensor) -> Tensor:
    return area(boxes) + area(target) - corners(boxes, target)[0].prod(1)


def iou(boxes: Tensor, target: Tensor) -> Tensor:
    return corners(boxes, target)[0].prod(1) / union(boxes, target)


def gram(maps: Tensor) -> Tensor:
    flat = maps.flatten(2)
    return torch.stack([image @ image.T / flat.shape[2] for image in flat])


def _normal_density(x: Tensor, t: Tensor) -> Tensor:
    normal = Normal(torch.zeros_like(x), 2 * torch.ones_like(x))
    return (normal.log_prob(x) - normal.log_prob(torch.zeros_like(x))).exp()


def sums(x: Tensor) -> Tensor:
    """Sums over batch and space, per class."""
    return x.transpose(0, 1).flatten(1).sum(1)


def per_image(x: Tensor) -> Tensor:
    """Sums over space, per image and class."""
    return x.reshape(*x.shape[:2], -1).sum(2)


def mean_target(t: Tensor) -> Tensor:
    """The mean over batch and space in every element's place."""
    return t.mean([axis for axis in range(t.ndim) if axis != 1], keepdim=True).expand_as(t)


DENSE = [
    Row("true_class_probability", "dense", pr.true_class_probability, lambda x, t: (p(x) * t).sum(1)),
    Row("true_class_log_probability", "dense", pr.true_class_log_probability, lambda x, t: (p(x).log() * t).sum(1)),
    Row("cross_entropy", "dense", pr.cross_entropy, lambda x, t: F.cross_entropy(x, t, reduction="none")),
    Row("uniform_cross_entropy", "dense", lambda x, t: pr.uniform_cross_entropy(x), lambda x, t: -p(x).log().mean(1)),
    Row(
        "label_smoothed_cross_entropy",
        "dense",
        lambda x, t: pr.label_smoothed_cross_entropy(x, t, fn.constant(0.4)),
        lambda x, t: F.cross_entropy(x, t, reduction="none", label_smoothing=0.4),
    ),
    Row(
        "class_weighted_cross_entropy",
        "dense",
        lambda x, t: pr.class_weighted_cross_entropy(x, t, 0.5 + fn.mean(fp(x), ("batch", "space"))),
        lambda x, t: _class_weighted(x, t, 0.5 + p(x).transpose(0, 1).flatten(1).mean(1)),
    ),
    Row(
        "generalized_cross_entropy",
        "dense",
        lambda x, t: pr.generalized_cross_entropy(x, t, fn.constant(0.3)),
        lambda x, t: (t * (1 - p(x) ** 0.3) / 0.3).sum(1),
    ),
    Row(
        "reverse_cross_entropy",
        "dense",
        lambda x, t: pr.reverse_cross_entropy(x, t, fn.constant(-4.0)),
        lambda x, t: -(p(x) * t.clamp(min=math.exp(-4)).log()).sum(1),
    ),
    Row(
        "entropy",
        "dense",
        lambda x, t: pr.entropy(x),
        lambda x, t: Categorical(logits=x.movedim(1, -1)).entropy(),
    ),
    Row("confidence", "dense", lambda x, t: pr.confidence(x), lambda x, t: p(x).amax(1)),
    Row("runner_up_probability", "dense", pr.runner_up_probability, wrong),
    Row("probability_margin", "dense", pr.probability_margin, lambda x, t: (p(x) * t).sum(1) - wrong(x, t)),
    Row("squared_probability_error", "dense", pr.squared_probability_error, lambda x, t: ((p(x) - t) ** 2).sum(1)),
    Row("absolute_probability_error", "dense", pr.absolute_probability_error, lambda x, t: (p(x) - t).abs().sum(1)),
    Row(
        "multiclass_hinge",
        "dense",
        lambda x, t: pr.multiclass_hinge(x, t, fn.constant(0.7)),
        lambda x, t: ((0.7 - (x * t).sum(1, keepdim=True) + x).clamp(min=0).sum(1) - 0.7) / x.shape[1],
    ),
]


def _class_weighted(x: Tensor, t: Tensor, weight: Tensor) -> Tensor:
    weighted = t * weight.reshape(-1, *[1] * (t.ndim - 2))
    return -(weighted * p(x).log()).sum(1) / weighted.sum(1)


MODULATING = [
    Row(
        "modulating_factor",
        "dense",
        lambda x, t: pr.modulating_factor(fp(x), fn.constant(1.5)),
        lambda x, t: (1 - p(x)) ** 1.5,
    ),
    Row("power_factor", "dense", lambda x, t: pr.power_factor(fp(x), fn.constant(0.5)), lambda x, t: p(x).sqrt()),
    Row(
        "exponential_factor",
        "dense",
        lambda x, t: pr.exponential_factor(fp(x), fn.constant(3.0)),
        lambda x, t: (-3 * p(x)).exp(),
    ),
    Row("poly1_term", "dense", lambda x, t: pr.poly1_term(fp(x), fn.constant(2.0)), lambda x, t: 2 - 2 * p(x)),
    Row(
        "polynomial_term",
        "dense",
        lambda x, t: pr.polynomial_term(fp(x), fn.constant(0.5), degree=3),
        lambda x, t: 0.5 * (1 - p(x)) ** 3,
    ),
    Row("temperature_scaling", "dense", lambda x, t: pr.temperature_scaling(x, fn.constant(4.0)), lambda x, t: x / 4),
    Row(
        "soft_gate",
        "dense",
        lambda x, t: pr.soft_gate(fp(x), fn.constant(0.3), fn.constant(0.1)),
        lambda x, t: 1 / (1 + (3 - 10 * p(x)).exp()),
    ),
    Row("capped", "dense", lambda x, t: pr.capped(x, fn.constant(0.4)), lambda x, t: x.clamp(max=0.4)),
    Row("compressed", "dense", lambda x, t: pr.compressed(fn.square(x)), lambda x, t: (1 + x**2).log()),
    Row(
        "saturated",
        "dense",
        lambda x, t: pr.saturated(fn.square(x), fn.constant(2.0)),
        lambda x, t: x**2 / (1 + x**2 / 2),
    ),
    Row("hinge", "dense", lambda x, t: pr.hinge(x, fn.constant(0.7)), lambda x, t: (0.7 - x).clamp(min=0)),
    Row(
        "softplus_margin",
        "dense",
        lambda x, t: pr.softplus_margin(x, fn.constant(0.7)),
        lambda x, t: (1 + (0.7 - x).exp()).log(),
    ),
]

OVERLAP = [
    Row("soft_intersection", "dense", lambda x, t: pr.soft_intersection(fp(x), t), lambda x, t: sums(p(x) * t)),
    Row("soft_cardinality", "dense", lambda x, t: pr.soft_cardinality(fp(x)), lambda x, t: sums(p(x))),
    Row("squared_cardinality", "dense", lambda x, t: pr.squared_cardinality(fp(x)), lambda x, t: sums(p(x) ** 2)),
    Row(
        "soft_false_negatives",
        "dense",
        lambda x, t: pr.soft_false_negatives(fp(x), t),
        lambda x, t: sums((1 - p(x)) * t),
    ),
    Row(
        "soft_false_positives",
        "dense",
        lambda x, t: pr.soft_false_positives(fp(x), t),
        lambda x, t: sums(p(x) * (1 - t)),
    ),
    Row(
        "dice_coefficient",
        "dense",
        lambda x, t: pr.dice_coefficient(fp(x), t, fn.constant(1.0)),
        lambda x, t: (2 * sums(p(x) * t) + 1) / (sums(p(x) + t) + 1),
    ),
    Row(
        "squared_dice_coefficient",
        "dense",
        lambda x, t: pr.squared_dice_coefficient(fp(x), t, fn.constant(1.0), over=("space",)),
        lambda x, t: (2 * per_image(p(x) * t) + 1) / (per_image(p(x) ** 2 + t**2) + 1),
    ),
    Row(
        "jaccard_index",
        "dense",
        lambda x, t: pr.jaccard_index(fp(x), t, fn.constant(1.0)),
        lambda x, t: (sums(p(x) * t) + 1) / (sums(p(x) + t - p(x) * t) + 1),
    ),
    Row(
        "tversky_index",
        "dense",
        lambda x, t: pr.tversky_index(fp(x), t, fn.constant(0.2), fn.constant(1.7), fn.constant(1.0)),
        lambda x, t: (sums(p(x) * t) + 1) / (sums(p(x) * t + 0.2 * p(x) * (1 - t) + 1.7 * t * (1 - p(x))) + 1),
    ),
    Row(
        "tversky_distance",
        "dense",
        lambda x, t: pr.tversky_distance(fp(x), t, fn.constant(0.2), fn.constant(1.7), fn.constant(1.0)),
        lambda x, t: 1 - (sums(p(x) * t) + 1) / (sums(p(x) * t + 0.2 * p(x) * (1 - t) + 1.7 * t * (1 - p(x))) + 1),
    ),
]

BOX = [
    Row("box_width", "box", lambda x, t: pr.box_width(x), lambda x, t: x[:, 2] - x[:, 0]),
    Row("box_height", "box", lambda x, t: pr.box_height(x), lambda x, t: x[:, 3] - x[:, 1]),
    Row("box_area", "box", lambda x, t: pr.box_area(x), lambda x, t: area(x)),
    Row("box_intersection", "box", pr.box_intersection, lambda x, t: corners(x, t)[0].prod(1)),
    Row("box_union", "box", pr.box_union, union),
    Row("box_enclosure", "box", pr.box_enclosure, lambda x, t: corners(x, t)[1].prod(1)),
    Row("box_iou", "box", pr.box_iou, iou),
    Row("box_giou", "box", pr.box_giou, lambda x, t: iou(x, t) - 1 + union(x, t) / corners(x, t)[1].prod(1)),
]

MARGIN = [
    Row(
        "additive_cosine_margin",
        "margin",
        lambda x, t: pr.additive_cosine_margin(x, t, fn.constant(0.35)),
        lambda x, t: moved(x, t, lambda c: c - 0.35),
    ),
    Row(
        "additive_angular_margin",
        "margin",
        lambda x, t: pr.additive_angular_margin(x, t, fn.constant(0.5)),
        lambda x, t: moved(
            x, t, lambda c: torch.where(c.acos() + 0.5 < math.pi, (c.acos() + 0.5).cos(), c - 0.5 * math.sin(0.5))
        ),
    ),
    Row(
        "multiplicative_angular_margin",
        "margin",
        lambda x, t: pr.multiplicative_angular_margin(x, t, fn.constant(1.7)),
        lambda x, t: moved(x, t, lambda c: (1.7 * c.acos()).clamp(max=math.pi).cos()),
    ),
]

GRAM = [
    Row("gram_matrix", "features", lambda x, t: pr.gram_matrix(x), lambda x, t: gram(x)),
    Row(
        "gram_difference",
        "features",
        pr.gram_difference,
        lambda x, t: ((gram(x) - gram(t)) ** 2).mean((1, 2)),
    ),
]

REGULARISING = [
    Row(
        "marginal_entropy",
        "dense",
        lambda x, t: pr.marginal_entropy(x),
        lambda x, t: Categorical(probs=p(x).movedim(1, -1).flatten(0, -2).mean(0)).entropy(),
    ),
    Row(
        "peer_cross_entropy",
        "dense",
        pr.peer_cross_entropy,
        lambda x, t: F.cross_entropy(x, mean_target(t), reduction="none"),
    ),
    Row(
        "pseudo_label_cross_entropy",
        "dense",
        lambda x, t: pr.pseudo_label_cross_entropy(x),
        lambda x, t: F.cross_entropy(x, x.argmax(1), reduction="none"),
    ),
    Row(
        "log_partition_penalty",
        "dense",
        lambda x, t: pr.log_partition_penalty(x),
        lambda x, t: x.exp().sum(1).log() ** 2,
    ),
    Row("logit_penalty", "dense", lambda x, t: pr.logit_penalty(x), lambda x, t: (x**2).mean(1)),
]


def lovasz(errors: Tensor, target: Tensor) -> Tensor:
    """Lovász extension of 1 - IoU over batch and space, per class, as differences of 1 - IoU."""
    flat, truth = errors.transpose(0, 1).flatten(1), target.transpose(0, 1).flatten(1)
    worst_first, order = flat.sort(1, descending=True)
    truth = truth.gather(1, order)
    wrong = [1 - truth[:, k:].sum(1) / (truth.sum(1) + (1 - truth[:, :k]).sum(1)) for k in range(truth.shape[1] + 1)]
    return (worst_first * torch.stack(wrong, 1).diff(dim=1)).sum(1)


BINARY = [
    Row(
        "binary_cross_entropy",
        "dense",
        pr.binary_cross_entropy,
        lambda x, t: F.binary_cross_entropy_with_logits(x, t, reduction="none"),
    ),
    Row(
        "binary_focal_term",
        "dense",
        lambda x, t: pr.binary_focal_term(x, fn.constant(1.5)),
        lambda x, t: -((1 - x.sigmoid()) ** 1.5) * x.sigmoid().log(),
    ),
    Row("signed_logits", "dense", pr.signed_logits, lambda x, t: (2 * t - 1) * x),
    Row("gaussian_proximity", "dense", lambda x, t: pr.gaussian_proximity(x, fn.constant(2.0)), _normal_density),
    Row(
        "lovasz_jaccard",
        "dense",
        lambda x, t: pr.lovasz_jaccard(fn.merge(fn.square(x)), fn.merge(t)),
        lambda x, t: lovasz(x**2, t),
    ),
]

ROWS = BINARY + DENSE + REGULARISING + MODULATING + OVERLAP + BOX + MARGIN + GRAM
