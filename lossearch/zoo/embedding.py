"""Losses for embeddings: pairs, triplets, anchors with positives, whole batches with labels, class centres, scores."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import replace

import lossearch.primitives as pr
from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import NON_NEGATIVE, POSITIVE, REAL, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import Order, choose, hand_designed, within

MARGIN = Parameter("margin", 1.0, 0.0, 100.0, tunable=True, defined=NON_NEGATIVE)
TEMPERATURE = Parameter("temperature", 0.1, 0.01, 10.0, tunable=True, log=True, defined=(1e-3, math.inf))
"""Below it an element's own similarity, lowered by 1e4, would count among the others."""


EUCLIDEAN = Order(2.0)


@hand_designed(signature="pair", source="Hadsell et al. 2006", parameters=[MARGIN])
def contrastive(first: Expr, second: Expr, target: Expr, margin: Expr) -> Expr:
    """Contrastive loss t·d²/2 + (1 - t)·max(m - d, 0)²/2 of the Euclidean distance d; t = 1 for the same class.

    The paper's label has the opposite sense. Equal embeddings of different classes have no gradient.
    """
    distance = pr.euclidean_distance(first, second)
    apart = fn.square(pr.hinge(distance, margin))
    return (target * fn.square(distance) + (1 - target) * apart) / 2


@hand_designed(signature="triplet", source="Schroff et al. 2015", parameters=[MARGIN])
def triplet(
    anchor: Expr,
    positive: Expr,
    negative: Expr,
    margin: Expr,
    *,
    squared: bool = False,
    p: float = EUCLIDEAN,
    swap: bool = False,
    eps: float = 0.0,
) -> Expr:
    """Triplet loss max(d(a, p) - d(a, n) + m, 0), as `torch.nn.functional.triplet_margin_loss`.

    d is the Euclidean distance, as is usual; `squared=True` takes its square, as FaceNet does with m = 0.2 on unit
    vectors. `p` is the order of the norm, 1 or more, also `inf`; `eps` is added to each difference, 1e-6 in
    PyTorch and here 0. `swap=True` takes the nearer of anchor and positive to the negative (Balntas et al. 2016).
    """
    distance = _distance(squared, p, eps)
    apart = distance(anchor, negative)
    nearer = choose("swap", swap, {False: False, True: True})
    apart = fn.minimum(apart, distance(positive, negative)) if nearer else apart
    return pr.hinge(apart - distance(anchor, positive), margin)


def _distance(squared: bool, order: float, eps: float) -> Callable[[Expr, Expr], Expr]:
    """The distance of two embeddings: a norm of their difference, or the square of the Euclidean one."""
    shift = fn.constant(eps)
    plain = choose("squared", squared, {False: pr.euclidean_distance, True: pr.squared_distance})
    if order == 2.0:
        return plain if eps == 0.0 else lambda a, b: plain(a, b - shift)
    if squared:
        raise UserError("p = 2 with squared=True", f"{order:g}", "leave one of them out")
    within("p", order, 1.0)

    def distance(a: Expr, b: Expr) -> Expr:
        size = fn.abs(a - b + shift)
        if order == math.inf:
            return fn.max(size, "feature")
        return fn.sum(size, "feature") if order == 1.0 else fn.sum(size**order, "feature") ** (1.0 / order)

    return distance


def _positives_and_negatives(pairwise: Expr, target: Expr) -> tuple[Expr, Expr]:
    """Masks [batch, batch'] of the others of each element's class, and of those of other classes."""
    same_class = fn.equal(target, fn.rename(target, "batch", "batch'"))
    return fn.where(same_class, 1 - fn.same(pairwise, "batch"), 0), fn.where(same_class, 0, 1)


@hand_designed(signature="embedding", source="Hermans et al. 2017", parameters=[MARGIN])
def triplet_batch_hard(embeddings: Expr, target: Expr, margin: Expr, *, soft: bool = False) -> tuple[Expr, Expr]:
    """Triplet loss max(d_p - d_n + m, 0) of each anchor's farthest positive and nearest negative in the batch.

    Euclidean distances. `soft=True` takes the paper's soft margin log(1 + e^(d_p - d_n + m)), there with m = 0.
    Anchors without positive or without negative do not count. Where all embeddings are equal the gradient is zero.
    """
    positives, negatives = _positives_and_negatives(embeddings, target)
    farthest = pr.farthest_positive_distance(embeddings, positives)
    nearest = pr.nearest_negative_distance(embeddings, negatives)
    penalty = choose("soft", soft, {False: pr.hinge, True: pr.softplus_margin})
    weight = fn.max(positives, "batch'") * fn.max(negatives, "batch'")
    return penalty(nearest - farthest, margin), weight


@hand_designed(signature="positives", source="Sohn 2016")
def n_pair(anchor: Expr, positive: Expr) -> Expr:
    """Multi-class N-pair loss log(1 + Σ_{j≠i} e^(⟨a_i, p_j⟩ - ⟨a_i, p_i⟩)), a cross-entropy over inner products.

    The paper adds a penalty on the embeddings' norms.
    """
    # Moving all positives by one vector adds the same to an anchor's products, which then cancel less.
    moved = positive - fn.stop_gradient(fn.mean(positive, "batch"))
    return pr.matching_cross_entropy(pr.pairwise_inner_product(anchor, moved))


@hand_designed(signature="centers", source="Wen et al. 2016")
def center(embeddings: Expr, target: Expr, centers: Expr) -> Expr:
    """Center loss ‖x - c_y‖²/2 from the centre of each element's class; used beside a classification loss.

    `centers[class, feature]` are learned by gradient with the network, where the paper averages them by a rule of
    its own.
    """
    return pr.squared_distance(embeddings, fn.contract(target, centers, "class")) / 2


@hand_designed(signature="ranking", source="Herbrich et al. 2000", parameters=[replace(MARGIN, defined=REAL)])
def margin_ranking(first: Expr, second: Expr, target: Expr, margin: Expr) -> Expr:
    """Ranking hinge max(m - t·(x₁ - x₂), 0), as `torch.nn.functional.margin_ranking_loss`, whose default is m = 0."""
    return pr.hinge(target * (first - second), margin)


@hand_designed(signature="positives", source="Chen et al. 2020", parameters=[TEMPERATURE])
def nt_xent(anchor: Expr, positive: Expr, temperature: Expr) -> Expr:
    """SimCLR's normalised, temperature-scaled cross-entropy: each view's partner among all 2N - 1 other views.

    The mean of both views' terms -cos(a, p)/τ + log Σ e^(cos/τ), whose 2N - 2 negatives come from both views.
    """
    across = pr.pairwise_cosine(anchor, positive) / temperature

    def among_own(view: Expr) -> Expr:
        return fn.logsumexp(pr.without_self(pr.pairwise_cosine(view, view) / temperature), "batch'")

    from_anchor = pr.log_add_exp(fn.logsumexp(across, "batch'"), among_own(anchor))
    onto_positive = fn.rename(fn.logsumexp(across, "batch"), "batch'", "batch")
    from_positive = pr.log_add_exp(onto_positive, among_own(positive))
    return (from_anchor + from_positive) / 2 - fn.diagonal(across, "batch")


@hand_designed(
    signature="positives",
    source="van den Oord et al. 2018",
    parameters=[Parameter("temperature", 0.07, 0.01, 10.0, tunable=True, log=True, defined=POSITIVE)],
)
def info_nce(anchor: Expr, positive: Expr, temperature: Expr) -> Expr:
    """InfoNCE: -log of the softmax of cos(a_i, p_j)/τ over the batch's positives at the anchor's own.

    Cosine similarity with a temperature is the most used score; the paper's is bilinear.
    """
    return pr.matching_cross_entropy(pr.pairwise_cosine(anchor, positive) / temperature)


@hand_designed(signature="embedding", source="Khosla et al. 2020", parameters=[TEMPERATURE])
def supervised_contrastive(embeddings: Expr, target: Expr, temperature: Expr) -> tuple[Expr, Expr]:
    """Supervised contrastive loss L_out: the mean over each anchor's positives of -log softmax(cos/τ) over all others.

    Without the factor τ of the authors' code. Anchors without positives do not count.
    """
    similarity = pr.pairwise_cosine(embeddings, embeddings) / temperature
    positives, _ = _positives_and_negatives(similarity, target)
    # At least one, so that an anchor without positives has no quotient 0/0.
    count = fn.clamp(fn.sum(positives, "batch'"), lower=1.0)
    attraction = fn.contract(positives, similarity, "batch'") / count
    everything = fn.logsumexp(pr.without_self(similarity), "batch'")
    return everything - attraction, fn.max(positives, "batch'")


@hand_designed(
    signature="triplet",
    source="He et al. 2020",
    parameters=[Parameter("temperature", 0.07, 0.01, 10.0, tunable=True, log=True, defined=POSITIVE)],
)
def info_nce_negatives(anchor: Expr, positive: Expr, negative: Expr, temperature: Expr) -> Expr:
    """InfoNCE with given negatives: -log of the softmax of cos/τ over the anchor's positive and all negatives.

    Every anchor has every row of `negative`, such as MoCo's queue, and the positives of others are none.
    """
    own = pr.cosine_similarity(anchor, positive) / temperature
    others = fn.logsumexp(pr.pairwise_cosine(anchor, negative) / temperature, "batch'")
    return fn.softplus(others - own)


ABSENT = -1e4
"""What stands for a similarity that a sum of exponentials leaves out."""


@hand_designed(
    signature="embedding",
    source="Wang et al. 2019",
    parameters=[
        Parameter("alpha", 2.0, 0.1, 100.0, tunable=True, log=True, search=(0.5, 20.0), defined=POSITIVE),
        Parameter("beta", 50.0, 0.1, 200.0, tunable=True, log=True, search=(5.0, 100.0), defined=POSITIVE),
        Parameter("base", 1.0, -1.0, 1.0, tunable=True, search=(0.0, 1.0), defined=REAL),
        Parameter("epsilon", 0.1, 0.0, 2.0, tunable=True, search=(0.0, 0.5), defined=(0.0, 2.0)),
    ],
)
def multi_similarity(
    embeddings: Expr, target: Expr, alpha: Expr, beta: Expr, base: Expr, epsilon: Expr, *, mining: bool = True
) -> Expr:
    """Multi-similarity loss log(1 + Σ_p e^(-α(s - λ)))/α + log(1 + Σ_n e^(β(s - λ)))/β of cosines s of each anchor.

    `base` is λ, 1 in the paper and ½ in the authors' code. `mining` keeps negatives nearer than the farthest positive
    by less than ε, and positives farther than the nearest negative likewise; an anchor left without pairs has loss 0.
    """
    cosine = pr.pairwise_cosine(embeddings, embeddings)
    positives, negatives = _positives_and_negatives(cosine, target)
    if choose("mining", mining, {True: True, False: False}):
        farthest = fn.min(fn.where(fn.greater(positives, 0.5), cosine, 4.0), "batch'")
        nearest = fn.max(fn.where(fn.greater(negatives, 0.5), cosine, -4.0), "batch'")
        # What is easy is dropped, rather than what is hard kept: a nan is no easy pair.
        positives = fn.where(fn.greater(cosine - epsilon, nearest), 0.0, positives)
        negatives = fn.where(fn.less(cosine + epsilon, farthest), 0.0, negatives)

    def joined(exponent: Expr, mask: Expr) -> Expr:
        return fn.softplus(fn.logsumexp(fn.where(fn.greater(mask, 0.5), exponent, ABSENT), "batch'"))

    attraction = joined(-(alpha * (cosine - base)), positives) / alpha
    return attraction + joined(beta * (cosine - base), negatives) / beta


@hand_designed(
    signature="embedding",
    source="Sun et al. 2020",
    parameters=[
        Parameter("margin", 0.4, 0.0, 1.0, tunable=True, search=(0.0, 0.8), defined=REAL),
        Parameter("scale", 80.0, 1.0, 512.0, tunable=True, log=True, search=(8.0, 256.0), defined=POSITIVE),
    ],
)
def circle(embeddings: Expr, target: Expr, margin: Expr, scale: Expr) -> tuple[Expr, Expr]:
    """Circle loss log(1 + Σ_n e^(γα_n(s - m))·Σ_p e^(-γα_p(s - 1 + m))) of cosines s of each anchor.

    α_p = max(1 + m - s, 0) and α_n = max(s + m, 0) have no gradient. m = 0.4, γ = 80 are the paper's for retrieval; for
    faces it has 0.25 and 256. Anchors without positive or without negative do not count.
    """
    cosine = pr.pairwise_cosine(embeddings, embeddings)
    positives, negatives = _positives_and_negatives(cosine, target)
    held = fn.stop_gradient(cosine)
    near = scale * fn.relu(held + margin) * (cosine - margin)
    far = -(scale * fn.relu(1 + margin - held) * (cosine - (1 - margin)))

    def joined(exponent: Expr, mask: Expr) -> Expr:
        return fn.logsumexp(fn.where(fn.greater(mask, 0.5), exponent, ABSENT), "batch'")

    loss = fn.softplus(joined(near, negatives) + joined(far, positives))
    return loss, fn.max(positives, "batch'") * fn.max(negatives, "batch'")


@hand_designed(signature="embedding", source="Goldberger et al. 2004", parameters=[TEMPERATURE])
def neighbourhood_components(embeddings: Expr, target: Expr, temperature: Expr) -> tuple[Expr, Expr]:
    """Neighbourhood components -log Σ_p softmax_p(cos/τ): how likely each anchor is to pick one of its class.

    Of unit vectors, whose squared distances are 2 - 2cos; also L_in of Khosla et al. 2020, without the factor 1/|P|.
    Anchors without positives do not count.
    """
    similarity = pr.pairwise_cosine(embeddings, embeddings) / temperature
    positives, _ = _positives_and_negatives(similarity, target)
    picked = fn.logsumexp(fn.where(fn.greater(positives, 0.5), similarity, ABSENT), "batch'")
    return fn.logsumexp(pr.without_self(similarity), "batch'") - picked, fn.max(positives, "batch'")


@hand_designed(
    signature="embedding",
    source="Yi et al. 2014",
    parameters=[
        Parameter("scale", 2.0, 0.1, 100.0, tunable=True, log=True, search=(0.5, 40.0), defined=POSITIVE),
        Parameter("base", 0.5, -1.0, 1.0, tunable=True, search=(-0.5, 1.0), defined=REAL),
        Parameter("cost", 25.0, 0.1, 1e3, tunable=True, log=True, search=(0.5, 50.0), defined=NON_NEGATIVE),
    ],
)
def binomial_deviance(embeddings: Expr, target: Expr, scale: Expr, base: Expr, cost: Expr) -> tuple[Expr, Expr]:
    """Binomial deviance of pairs: log(1 + e^(-α(s - β))) of positives and log(1 + e^(αC(s - β))) of negatives.

    The means over each anchor's positives and over its negatives are added; s are cosines, of an embedding of zero 1/2.
    Defaults are the paper's. Anchors without positive or without negative do not count.
    """
    # ⟨u, v⟩ = 1 - ‖u - v‖²/2 of unit vectors. Where they are equal its gradient is zero, whereas that of the product is
    # what rounding leaves of numbers as large as αC.
    direction = fn.unit(embeddings, "feature")
    cosine = 1.0 - 0.5 * pr.pairwise_squared_distance(direction, direction)
    positives, negatives = _positives_and_negatives(cosine, target)

    def average(pairs: Expr, penalty: Expr) -> Expr:
        return fn.contract(pairs, penalty, "batch'") / fn.clamp(fn.sum(pairs, "batch'"), lower=1.0)

    above = scale * (cosine - base)
    loss = average(positives, fn.softplus(-above)) + average(negatives, fn.softplus(cost * above))
    return loss, fn.max(positives, "batch'") * fn.max(negatives, "batch'")
