"""Losses for two views or modalities of the same instances, and for attention maps."""

from __future__ import annotations

import lossearch.primitives as pr
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import NON_NEGATIVE, POSITIVE, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import choose, hand_designed


@hand_designed(
    signature="views",
    source="Radford et al. 2021",
    parameters=[Parameter("temperature", 0.07, 0.01, 10.0, tunable=True, log=True, defined=POSITIVE)],
)
def clip(first: Expr, second: Expr, temperature: Expr) -> Expr:
    """CLIP: the mean of both directions' cross-entropies of cos(x_i, y_j)/τ, each element's partner being its class.

    The paper learns τ, from 0.07 and held ≥ 0.01; here it is a number.
    """
    similarity = pr.pairwise_cosine(first, second) / temperature
    forwards = pr.matching_cross_entropy(similarity)
    return (forwards + pr.matching_cross_entropy(similarity, over=("batch",))) / 2


@hand_designed(signature="predicted_views", source="Grill et al. 2020")
def byol(first_prediction: Expr, second_prediction: Expr, first_target: Expr, second_target: Expr) -> Expr:
    """BYOL: squared distances 2 - 2cos between each view's prediction and the other view's target, both added.

    No gradient flows to the targets.
    """
    first, second = fn.stop_gradient(first_target), fn.stop_gradient(second_target)
    return pr.direction_distance(first_prediction, second) + pr.direction_distance(second_prediction, first)


@hand_designed(signature="predicted_views", source="Chen and He 2021")
def simsiam(first_prediction: Expr, second_prediction: Expr, first_target: Expr, second_target: Expr) -> Expr:
    """SimSiam: half of each direction's negative cosine between a view's prediction and the other view's target.

    No gradient flows to the targets.
    """
    first, second = fn.stop_gradient(first_target), fn.stop_gradient(second_target)
    return -(pr.cosine_similarity(first_prediction, second) + pr.cosine_similarity(second_prediction, first)) / 2


@hand_designed(
    signature="views",
    source="Zbontar et al. 2021",
    parameters=[Parameter("redundancy", 0.005, 1e-5, 1.0, tunable=True, log=True, defined=NON_NEGATIVE)],
)
def barlow_twins(first: Expr, second: Expr, redundancy: Expr) -> Expr:
    """Barlow Twins Σ_i (1 - C_ii)² + λ Σ_{i≠j} C_ij² of both views' cross-correlation C over the batch: one number.

    `redundancy` is λ. A feature that is constant over the batch correlates with nothing.
    """
    correlation = pr.cross_correlation(first, second)
    own = fn.diagonal(correlation, "feature")
    # λ Σ_ij C_ij² holds λ C_ii² too many.
    invariance = fn.sum(fn.square(1 - own) - redundancy * fn.square(own), "feature")
    return invariance + redundancy * fn.sum(fn.square(correlation), ("feature", "feature'"))


@hand_designed(signature="attention", source="Zagoruyko and Komodakis 2017")
def attention_target(attention: Expr, target: Expr, *, distance: str = "squared") -> Expr:
    """Attention transfer ‖a/‖a‖ - t/‖t‖‖² between attention maps and target maps.

    It sums over the map, where the authors' code takes the mean of the squares over space and batch: divide by the
    number of positions for theirs. `distance="norm"` takes the root of the sum, as the paper writes. `distance="kl"`
    is KL(softmax t ‖ softmax a), for maps of logits.
    """
    ways = {
        "squared": pr.map_direction_distance,
        "norm": lambda a, t: fn.norm(fn.unit(a, "space") - fn.unit(t, "space"), "space"),
        "kl": pr.map_divergence,
    }
    return choose("distance", distance, ways)(attention, target)
