"""Similarities, distances and matching terms of embeddings: `first[batch, feature]` and `second[batch, feature]`.

Pairwise values have the axes [batch, batch']: every row of the first against every row of the second, by one matrix
product. Cosines hold norms at 1e-8 or more, so that a zero vector has cosine 0 with everything.
"""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.primitive import primitive
from lossearch.ir.operators import functions as fn

FAMILY = "embedding"

HIDDEN = 1e4
"""What hides a similarity: lowered by so much, its exponential is zero beside any other."""


def _direction(x: Expr) -> Expr:
    return fn.unit(x, "feature")


def _paired(x: Expr) -> Expr:
    return fn.rename(x, "batch", "batch'")


@primitive(family=FAMILY)
def cosine_similarity(first: Expr, second: Expr) -> Expr:
    """⟨a, b⟩/(‖a‖‖b‖) of embeddings row by row: [batch] in [-1, 1]; norms held ≥ 1e-8."""
    return fn.contract(_direction(first), _direction(second), "feature")


@primitive(family=FAMILY)
def pairwise_cosine(first: Expr, second: Expr) -> Expr:
    """Cosines of every row with every other: [batch, batch'] in [-1, 1]; norms held ≥ 1e-8."""
    return fn.contract(_direction(first), _paired(_direction(second)), "feature")


@primitive(family=FAMILY)
def pairwise_inner_product(first: Expr, second: Expr) -> Expr:
    """⟨a_i, b_j⟩ of every row with every other: [batch, batch']."""
    return fn.contract(first, _paired(second), "feature")


@primitive(family=FAMILY)
def euclidean_distance(first: Expr, second: Expr) -> Expr:
    """‖a - b‖ row by row: [batch], ≥ 0; its gradient is zero where both are equal."""
    return fn.norm(first - second, "feature")


@primitive(family=FAMILY)
def squared_distance(first: Expr, second: Expr) -> Expr:
    """‖a - b‖² row by row: [batch], ≥ 0."""
    return fn.sum(fn.square(first - second), "feature")


@primitive(family=FAMILY)
def direction_distance(first: Expr, second: Expr) -> Expr:
    """‖a/‖a‖ - b/‖b‖‖² row by row, which is 2 - 2cos without cancellation: [batch] in [0, 4]; norms held ≥ 1e-8."""
    return squared_distance(_direction(first), _direction(second))


@primitive(family=FAMILY)
def pairwise_squared_distance(first: Expr, second: Expr) -> Expr:
    """‖a_i - b_j‖² of every row with every other: [batch, batch'], ≥ 0."""
    return fn.squared_difference(first, _paired(second), "feature")


@primitive(family=FAMILY)
def without_self(similarity: Expr) -> Expr:
    """Similarities [batch, batch'] with each element's own lowered by 1e4, so that no exponential counts it."""
    return similarity - HIDDEN * fn.same(similarity, "batch")


@primitive(family=FAMILY)
def matching_cross_entropy(similarity: Expr, *, over: tuple[str, ...] = ("batch'",)) -> Expr:
    """-log softmax over batch' (or batch) at each element's own partner: [batch], ≥ 0. van den Oord et al. 2018."""
    return -fn.diagonal(fn.log_softmax(similarity, over), "batch")


@primitive(family=FAMILY)
def log_add_exp(first: Expr, second: Expr) -> Expr:
    """log(e^a + e^b): joins two logsumexps; elementwise."""
    return first + fn.softplus(second - first)


@primitive(family=FAMILY)
def hardest_positive(distance: Expr, positives: Expr) -> Expr:
    """Largest of the distances[batch, batch'] ≥ 0 that the mask keeps, or 0: [batch]. Hermans et al. 2017."""
    return fn.max(distance * positives, "batch'")


@primitive(family=FAMILY)
def hardest_negative(distance: Expr, negatives: Expr) -> Expr:
    """Smallest of the distances[batch, batch'] that the mask keeps, or 1e16: [batch]. Hermans et al. 2017."""
    return fn.min(fn.where(fn.greater(negatives, 0.5), distance, 1e16), "batch'")


def _distance_to_hardest(embeddings: Expr, hardness: Expr) -> Expr:
    """Distance of each row from the row that is hardest for it: computed anew, so that no gradient takes all pairs."""
    return euclidean_distance(embeddings, fn.pick(_paired(embeddings), fn.stop_gradient(hardness), "batch'"))


@primitive(family=FAMILY)
def farthest_positive_distance(embeddings: Expr, positives: Expr) -> Expr:
    """‖x_i - x_j‖ from each row to the farthest that the mask[batch, batch'] keeps: [batch]. Hermans et al. 2017.

    Without a positive, to any row.
    """
    return _distance_to_hardest(embeddings, pairwise_squared_distance(embeddings, embeddings) * positives)


@primitive(family=FAMILY)
def nearest_negative_distance(embeddings: Expr, negatives: Expr) -> Expr:
    """‖x_i - x_j‖ from each row to the nearest that the mask[batch, batch'] keeps: [batch]. Hermans et al. 2017.

    Without a negative, to any row.
    """
    nearness = -pairwise_squared_distance(embeddings, embeddings)
    return _distance_to_hardest(embeddings, fn.where(fn.greater(negatives, 0.5), nearness, -1e16))
