"""Every primitive applied to a signature's prediction and target, beside its definition in plain torch."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.distributions import Categorical, Normal, kl_divergence

from lossearch import primitives as pr
from lossearch.ir import Expr
from lossearch.ir.operators import functions as fn

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
    Row(
        "squared_multiclass_hinge",
        "dense",
        lambda x, t: pr.squared_multiclass_hinge(x, t, fn.constant(0.7)),
        lambda x, t: ((0.7 - (x * t).sum(1, keepdim=True) + x).clamp(min=0).square().sum(1) - 0.49) / x.shape[1],
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

DISTANCE = [
    Row(
        "huber_penalty",
        "regression",
        lambda x, t: pr.huber_penalty(x - t, fn.constant(0.7)),
        lambda x, t: F.huber_loss(x, t, reduction="none", delta=0.7),
    ),
    Row(
        "pinball_penalty",
        "regression",
        lambda x, t: pr.pinball_penalty(t - x, fn.constant(0.3)),
        lambda x, t: torch.where(t > x, 0.3 * (t - x), 0.7 * (x - t)),
    ),
    Row(
        "quadratic_form",
        "views",
        lambda x, t: pr.quadratic_form(x, fn.contract(t, fn.rename(t, "feature", "feature'"), "batch")),
        lambda x, t: torch.einsum("bi,ij,bj->b", x, t.T @ t, x),
    ),
]


def steps(x: Tensor) -> list[Tensor]:
    """Forward differences along every spatial axis, zero at the far edge."""
    return [torch.diff(x, dim=d, append=x.narrow(d, x.shape[d] - 1, 1)) for d in range(2, x.ndim)]


def window(x: Tensor) -> Tensor:
    """Gaussian windows of 3 with σ = 1.5 per spatial axis; at the border over the part inside."""
    for d in range(2, x.ndim):
        at = torch.arange(x.shape[d])
        near = (at[:, None] - at).abs()
        kernel = torch.where(near <= 1, torch.exp(-(near.double() ** 2) / 4.5), 0.0)
        x = torch.movedim(x.movedim(d, -1) @ (kernel / kernel.sum(1, keepdim=True)).T, -1, d)
    return x


def luminance(x: Tensor, t: Tensor) -> Tensor:
    return (2 * window(x) * window(t) + 4e-4) / (window(x) ** 2 + window(t) ** 2 + 4e-4)


def structure(x: Tensor, t: Tensor) -> Tensor:
    covariance, *variances = [window(a * b) - window(a) * window(b) for a, b in ((x, t), (x, x), (t, t))]
    return (2 * covariance + 36e-4) / (sum(variances) + 36e-4)


def inner_mean(x: Tensor) -> Tensor:
    """Mean over channels and where a window of 3 fits, or zero where none does."""
    for d in range(2, x.ndim):
        x = x.narrow(d, 1, max(x.shape[d] - 2, 0))
    return x.flatten(1).sum(1) / max(x[0].numel(), 1)


def cosine_distance(x: Tensor, t: Tensor) -> Tensor:
    rows, others = x.flatten(2), t.flatten(2)
    centre = others.mean(2, keepdim=True)
    return 1 - F.cosine_similarity((rows - centre)[..., None], (others - centre)[:, :, None], dim=1)


def similarity(x: Tensor, t: Tensor) -> Tensor:
    distance = cosine_distance(x, t)
    relative = distance / (distance.amin(2, keepdim=True) + 0.1)
    return torch.softmax((1 - relative) / 0.5, 2).amax(1).mean(1)


TWO = fn.constant(2.0)
IMAGE = [
    Row(
        "charbonnier_penalty",
        "image",
        lambda x, t: pr.charbonnier_penalty(x - t, fn.constant(0.1)),
        lambda x, t: ((x - t) ** 2 + 0.01).sqrt(),
    ),
    Row(
        "absolute_gradient",
        "image",
        lambda x, t: pr.absolute_gradient(x),
        lambda x, t: torch.stack(steps(x)).abs().sum(0),
    ),
    Row(
        "gradient_length",
        "image",
        lambda x, t: pr.gradient_length(x),
        lambda x, t: torch.linalg.vector_norm(torch.stack(steps(x)), dim=0),
    ),
    Row("luminance_similarity", "image", lambda x, t: pr.luminance_similarity(x, t, TWO, size=3), luminance),
    Row("structure_similarity", "image", lambda x, t: pr.structure_similarity(x, t, TWO, size=3), structure),
    Row("interior_mean", "image", lambda x, t: pr.interior_mean(x, size=3), lambda x, t: inner_mean(x)),
    Row(
        "structural_similarity",
        "image",
        lambda x, t: pr.structural_similarity(x, t, TWO, size=3),
        lambda x, t: inner_mean(luminance(x, t) * structure(x, t)),
    ),
    Row(
        "positive_power",
        "image",
        lambda x, t: pr.positive_power(x, fn.constant(0.3)),
        lambda x, t: torch.where(x > 1e-9, x.clamp(min=1e-9) ** 0.3, 0.0),
    ),
]

FEATURES = [
    Row("cosine_distances", "features", pr.cosine_distances, cosine_distance),
    Row(
        "contextual_similarity",
        "features",
        lambda x, t: pr.contextual_similarity(x, t, fn.constant(0.5), fn.constant(0.1)),
        similarity,
    ),
]

LATENT = [
    Row(
        "gaussian_kl",
        "views",
        lambda x, t: pr.gaussian_kl(x, t),
        lambda x, t: kl_divergence(Normal(x, (t / 2).exp()), Normal(0.0, 1.0)).sum(1),
    )
]


def around(x: Tensor, t: Tensor) -> Tensor:
    return corners(x, t)[1]


def shift(x: Tensor, t: Tensor) -> Tensor:
    return ((x[:, :2] + x[:, 2:] - t[:, :2] - t[:, 2:]) / 2).pow(2).sum(1)


def sides(x: Tensor) -> Tensor:
    return x[:, 2:] - x[:, :2]


BOX += [
    Row("box_centre_penalty", "box", pr.box_centre_penalty, lambda x, t: shift(x, t) / around(x, t).pow(2).sum(1)),
    Row(
        "box_aspect_penalty",
        "box",
        pr.box_aspect_penalty,
        lambda x, t: (2 / math.pi * (torch.atan2(*sides(t).T) - torch.atan2(*sides(x).T))) ** 2,
    ),
    Row(
        "box_side_penalty",
        "box",
        pr.box_side_penalty,
        lambda x, t: ((sides(x) - sides(t)) / around(x, t)).pow(2).sum(1),
    ),
    Row(
        "box_gaussian_distance",
        "box",
        pr.box_gaussian_distance,
        lambda x, t: shift(x, t) + (sides(x) - sides(t)).pow(2).sum(1) / 4,
    ),
]


def inner(x: Tensor, t: Tensor) -> Tensor:
    return (x[:, None] * t[None]).sum(2)


def distances(x: Tensor, t: Tensor) -> Tensor:
    return ((x[:, None] - t[None]) ** 2).sum(2)


def other(x: Tensor) -> Tensor:
    """One off the diagonal."""
    return 1.0 - torch.eye(len(x), dtype=x.dtype)


EMBEDDING = [
    Row("cosine_similarity", "positives", pr.cosine_similarity, F.cosine_similarity),
    Row(
        "pairwise_cosine",
        "positives",
        pr.pairwise_cosine,
        lambda x, t: F.cosine_similarity(x[:, None], t[None], dim=2),
    ),
    Row("pairwise_inner_product", "positives", pr.pairwise_inner_product, inner),
    Row(
        "euclidean_distance",
        "positives",
        pr.euclidean_distance,
        lambda x, t: F.pairwise_distance(x, t, eps=0.0),
    ),
    Row("squared_distance", "positives", pr.squared_distance, lambda x, t: ((x - t) ** 2).sum(1)),
    Row(
        "direction_distance",
        "positives",
        pr.direction_distance,
        lambda x, t: 2 - 2 * F.cosine_similarity(x, t),
    ),
    Row("pairwise_squared_distance", "positives", pr.pairwise_squared_distance, distances),
    Row(
        "without_self",
        "positives",
        lambda x, t: pr.without_self(pr.pairwise_inner_product(x, t)),
        lambda x, t: inner(x, t) - 1e4 * (1 - other(x)),
    ),
    Row(
        "matching_cross_entropy",
        "positives",
        lambda x, t: pr.matching_cross_entropy(pr.pairwise_inner_product(x, t)),
        lambda x, t: F.cross_entropy(inner(x, t), torch.arange(len(x)), reduction="none"),
    ),
    Row("log_add_exp", "positives", pr.log_add_exp, torch.logaddexp),
    Row(
        "hardest_positive",
        "positives",
        lambda x, t: pr.hardest_positive(pr.pairwise_squared_distance(x, t), fn.same(x, "batch")),
        lambda x, t: torch.diagonal(distances(x, t)),
    ),
    Row(
        "farthest_positive_distance",
        "positives",
        lambda x, t: pr.farthest_positive_distance(x, 1 - fn.same(x, "batch")),
        lambda x, t: distances(x, x).amax(1).sqrt(),
    ),
    Row(
        "nearest_negative_distance",
        "positives",
        lambda x, t: pr.nearest_negative_distance(x, 1 - fn.same(x, "batch")),
        lambda x, t: torch.where(other(x) > 0, distances(x, x), math.inf).amin(1).sqrt(),
    ),
    Row(
        "hardest_negative",
        "positives",
        lambda x, t: pr.hardest_negative(pr.pairwise_squared_distance(x, t), 1 - fn.same(x, "batch")),
        lambda x, t: torch.where(other(x) > 0, distances(x, t), math.inf).amin(1),
    ),
]

MULTI_VIEW = [
    Row("centred", "views", lambda x, t: pr.centred(x, over=("batch",)), lambda x, t: x - x.mean(0)),
    Row(
        "cross_correlation",
        "views",
        pr.cross_correlation,
        lambda x, t: torch.corrcoef(torch.cat([x, t], 1).T)[: x.shape[1], x.shape[1] :],
    ),
    Row(
        "map_direction_distance",
        "attention",
        pr.map_direction_distance,
        lambda x, t: 2 - 2 * F.cosine_similarity(x.flatten(1), t.flatten(1)),
    ),
    Row(
        "map_divergence",
        "attention",
        pr.map_divergence,
        lambda x, t: F.kl_div(torch.log_softmax(x.flatten(1), 1), torch.softmax(t.flatten(1), 1), reduction="none").sum(
            1
        ),
    ),
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

ROWS = (
    BINARY
    + EMBEDDING
    + MULTI_VIEW
    + LATENT
    + FEATURES
    + IMAGE
    + DENSE
    + REGULARISING
    + MODULATING
    + OVERLAP
    + BOX
    + MARGIN
    + GRAM
    + DISTANCE
)
