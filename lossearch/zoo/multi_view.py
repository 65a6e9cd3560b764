"""Losses for two views or modalities of the same instances, and for attention maps."""

from __future__ import annotations

import lossearch.primitives as pr
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import NON_NEGATIVE, POSITIVE, REAL, Parameter
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


@hand_designed(
    signature="views",
    source="Zhai et al. 2023",
    parameters=[
        Parameter("scale", 10.0, 0.1, 200.0, tunable=True, log=True, search=(1.0, 100.0), defined=POSITIVE),
        Parameter("bias", -10.0, -50.0, 10.0, tunable=True, search=(-20.0, 5.0), defined=REAL),
    ],
)
def siglip(first: Expr, second: Expr, scale: Expr, bias: Expr) -> Expr:
    """SigLIP: Σ_j -log σ(z_ij(s·cos(x_i, y_j) + b)) for each x_i, z = 1 for its partner and -1 for the others.

    The paper learns s and b from these values on; here they are numbers.
    """
    logits = scale * pr.pairwise_cosine(first, second) + bias
    apart = fn.softplus(logits)
    # softplus(-x) = softplus(x) - x
    return fn.sum(apart, "batch'") - fn.diagonal(logits, "batch")


@hand_designed(
    signature="views",
    source="Bardes et al. 2022",
    parameters=[
        Parameter("invariance", 25.0, 0.01, 1e3, tunable=True, log=True, search=(1.0, 100.0), defined=NON_NEGATIVE),
        Parameter("variance", 25.0, 0.01, 1e3, tunable=True, log=True, search=(1.0, 100.0), defined=NON_NEGATIVE),
        Parameter("covariance", 1.0, 0.01, 1e3, tunable=True, log=True, search=(0.1, 10.0), defined=NON_NEGATIVE),
    ],
)
def vicreg(first: Expr, second: Expr, invariance: Expr, variance: Expr, covariance: Expr) -> Expr:
    """VICReg λ·s + μ·(v + v') + ν·(c + c') of both views' embeddings: one number.

    s is their mean squared error; v = mean_j max(1 - √(Var_j + 1e-4), 0) asks each feature to vary over the batch; c =
    Σ_{i≠j} C_ij²/d asks for no covariance between features. As algorithm 1 of the paper; the text sums s over features,
    and the authors' code has half of v + v'.
    """
    error = fn.mean(fn.square(first - second), ("batch", "feature"))
    spread, shared = _spread(first) + _spread(second), _shared(first) + _shared(second)
    return invariance * error + variance * spread + covariance * shared


def _degrees(x: Expr) -> Expr:
    """Samples less one, for unbiased moments; a single sample varies with nothing."""
    return fn.clamp(fn.size(x, "batch") - 1, lower=1.0)


def _spread(x: Expr) -> Expr:
    """How much features lack of a standard deviation of one over the batch, on average."""
    variance = fn.sum(fn.square(pr.centred(x)), "batch") / _degrees(x)
    return fn.mean(fn.relu(1 - fn.sqrt(variance + 1e-4)), "feature")


LARGEST_COVARIANCE = 1e9
"""No two features in the signature's domain have more than (2e4)²·n/(n - 1): it tells the types."""


def _shared(x: Expr) -> Expr:
    """Squared covariances over the batch of different features, over the number of features."""
    deviation = pr.centred(x)
    covariance = fn.contract(deviation, fn.rename(deviation, "feature", "feature'"), "batch") / _degrees(x)
    others = fn.clamp(covariance, -LARGEST_COVARIANCE, LARGEST_COVARIANCE) * (1 - fn.same(covariance, "feature"))
    return fn.mean(fn.sum(fn.square(others), "feature'"), "feature")


@hand_designed(
    signature="predicted_views",
    source="Caron et al. 2021",
    parameters=[
        Parameter("temperature", 0.1, 0.01, 10.0, tunable=True, log=True, search=(0.05, 1.0), defined=POSITIVE),
        Parameter("target_temperature", 0.04, 0.01, 10.0, tunable=True, log=True, search=(0.02, 0.5), defined=POSITIVE),
    ],
)
def dino(
    first_prediction: Expr,
    second_prediction: Expr,
    first_target: Expr,
    second_target: Expr,
    temperature: Expr,
    target_temperature: Expr,
) -> Expr:
    """DINO: half of both directions' cross-entropies of softmax(s/τ) to softmax((t - c)/τ'), t of the other view.

    Predictions s are the student's outputs, targets t the teacher's, through which no gradient flows. The centre c is
    the mean of both views' targets over the batch; the paper's is a running mean over earlier batches.
    """
    first, second = fn.stop_gradient(first_target), fn.stop_gradient(second_target)
    # t - (t̄ + t̄')/2 = (t - t̄) + (t̄ - t̄')/2, in differences of what may be far from zero.
    apart = fn.mean(first - second, "batch") / 2
    first_centred, second_centred = pr.centred(first) + apart, pr.centred(second) - apart
    forwards = _cross_entropy_to(second_centred / target_temperature, first_prediction, temperature)
    return (forwards + _cross_entropy_to(first_centred / target_temperature, second_prediction, temperature)) / 2


def _cross_entropy_to(known: Expr, scores: Expr, temperature: Expr) -> Expr:
    """-⟨softmax(known), log softmax(scores/τ)⟩ over features."""
    # The largest is subtracted before the division, which would round what differs.
    below_largest = (scores - fn.max(scores, "feature")) / temperature
    return -fn.contract(fn.softmax(known, "feature"), fn.log_softmax(below_largest, "feature"), "feature")
