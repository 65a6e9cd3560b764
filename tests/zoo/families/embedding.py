"""Embeddings: pytorch-metric-learning and torch.nn.functional; for contrastive and center the papers' formulas."""

from __future__ import annotations

from typing import Any, cast

import torch
import torch.nn.functional as F
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.reducers import DoNothingReducer
from torch import Tensor

from ..harness import Case
from ..samples import Sample, Samples

SHAPES = {"five": (5, 4), "one element": (1, 3), "two features": (6, 2), "eight": (8, 5)}
CLASSES = {"five": [0, 1, 0, 2, 1], "one element": [3], "two features": [7, 7, -1, 7, -1, 2], "eight": [0, 0, 0, 0] * 2}


def contrastive(first: Tensor, second: Tensor, target: Tensor, margin: float) -> Tensor:
    """Equation 4 of Hadsell et al. with Y = 1 - t."""
    distance = torch.linalg.vector_norm(first - second, dim=1)
    return target * distance**2 / 2 + (1 - target) * (margin - distance).clamp(min=0) ** 2 / 2


def triplet(anchor: Tensor, positive: Tensor, negative: Tensor, margin: float, squared: bool = False) -> Tensor:
    """PyTorch's, or with squares of PyTorch's distances."""
    if not squared:
        return F.triplet_margin_loss(anchor, positive, negative, margin, eps=0.0, reduction="none")
    near, far = (F.pairwise_distance(anchor, other, eps=0.0) ** 2 for other in (positive, negative))
    return torch.relu(near - far + margin)


def _per_anchor(found: dict[str, dict[str, Tensor]], like: Tensor) -> Tensor:
    """Losses at their anchors; zero for anchors without one."""
    terms, (anchors, *_) = found["loss"]["losses"], found["loss"]["indices"]
    zero = like.sum(1) * 0
    return zero if not isinstance(terms, Tensor) else zero.index_add(0, anchors, terms)


def triplet_batch_hard(embeddings: Tensor, target: Tensor, margin: float, soft: bool = False) -> Tensor:
    distance = LpDistance(normalize_embeddings=False)
    chosen = miners.BatchHardMiner(distance=distance)(embeddings, target)
    if not len(chosen[0]):
        return embeddings.sum(1) * 0
    loss = losses.TripletMarginLoss(margin, smooth_loss=soft, distance=distance, reducer=DoNothingReducer())
    return _per_anchor(loss(embeddings, target, chosen), embeddings)


def _alike(target: Tensor) -> Tensor:
    """How many elements have each element's label, itself included."""
    return (target[:, None] == target).sum(1)


def has_positive(embeddings: Tensor, target: Tensor) -> Tensor:
    return (_alike(target) > 1).double()


def has_both(embeddings: Tensor, target: Tensor) -> Tensor:
    return has_positive(embeddings, target) * (_alike(target) < len(target))


def n_pair(anchor: Tensor, positive: Tensor) -> Tensor:
    """The library takes the first pair of each class, which is (anchor, positive) here, and normalises unless told."""
    labels = torch.arange(len(anchor)).repeat(2)
    loss = losses.NPairsLoss(reducer=DoNothingReducer())
    loss.distance.normalize_embeddings = False
    return loss(torch.cat([anchor, positive]), labels)["loss"]["losses"]


def info_nce_negatives(anchor: Tensor, positive: Tensor, negative: Tensor, temperature: float) -> Tensor:
    """Algorithm 1 of He et al. with the negatives as the queue: cross-entropy with the positive as class 0."""
    own = F.cosine_similarity(anchor, positive)[:, None]
    logits = torch.cat([own, F.cosine_similarity(anchor[:, None], negative[None], dim=2)], 1) / temperature
    return F.cross_entropy(logits, torch.zeros(len(anchor), dtype=torch.int64), reduction="none")


def multi_similarity(
    embeddings: Tensor,
    target: Tensor,
    alpha: float,
    beta: float,
    base: float,
    epsilon: float = 0.0,
    mining: bool = True,
) -> Tensor:
    """The library's loss, with its miner where pairs are mined; without any pair all are zero."""
    zero = embeddings.sum(1) * 0
    chosen = miners.MultiSimilarityMiner(epsilon)(embeddings, target) if mining else None
    if chosen is not None and not sum(map(len, chosen)):
        return zero
    given: Any = {"alpha": alpha, "beta": beta, "base": base}  # integers to the library's annotations
    loss = losses.MultiSimilarityLoss(**given, reducer=DoNothingReducer())
    found = loss(embeddings, target, chosen)["loss"]["losses"]
    return zero + (found.flatten() if isinstance(found, Tensor) else 0)


def circle(embeddings: Tensor, target: Tensor, margin: float, scale: float) -> Tensor:
    loss = losses.CircleLoss(m=margin, gamma=cast(Any, scale), reducer=DoNothingReducer())
    found = loss(embeddings, target)["loss"]["losses"]
    return embeddings.sum(1) * 0 + (found.flatten() if isinstance(found, Tensor) else 0)


def neighbourhood_components(embeddings: Tensor, target: Tensor, temperature: float) -> Tensor:
    """The library's, whose distances are squared ones of unit vectors."""
    loss = losses.NCALoss(cast(Any, 1 / (2 * temperature)), reducer=DoNothingReducer())
    found, zero = loss(embeddings, target)["loss"], embeddings.sum(1) * 0
    return zero.index_add(0, found["indices"], found["losses"]) if isinstance(found["losses"], Tensor) else zero


def binomial_deviance(embeddings: Tensor, target: Tensor, scale: float, base: float, cost: float) -> Tensor:
    """Equation 11 of Yi et al. for one anchor after the other, with a mean over each kind of pair."""
    unit = F.normalize(embeddings, dim=1)
    rows = []
    for k in range(len(target)):
        cosine, alike = unit @ unit[k], target == target[k]
        near, far = cosine[alike & (torch.arange(len(target)) != k)], cosine[~alike]
        terms = torch.log1p(torch.exp(-scale * (near - base))), torch.log1p(torch.exp(scale * cost * (far - base)))
        rows.append(sum((term.mean() for term in terms if len(term)), embeddings[k].sum() * 0))
    return torch.stack(rows) * has_both(embeddings, target)


def center(embeddings: Tensor, target: Tensor, centers: Tensor) -> Tensor:
    """Equation 2 of Wen et al., one element after the other."""
    rows = [((x - c) ** 2).sum() / 2 for x, c in zip(embeddings, centers[target.argmax(1)], strict=True)]
    return torch.stack(rows)


def margin_ranking(first: Tensor, second: Tensor, target: Tensor, margin: float) -> Tensor:
    return F.margin_ranking_loss(first, second, target, margin=margin, reduction="none")


def nt_xent(anchor: Tensor, positive: Tensor, temperature: float) -> Tensor:
    """The library has a term for each of the 2N views, and none for a single pair, whose terms are zero."""
    count = len(anchor)
    if count == 1:
        return (anchor + positive).sum(1) * 0
    both = torch.cat([anchor, positive])
    loss = losses.NTXentLoss(temperature, reducer=DoNothingReducer())
    terms = _per_anchor(loss(both, torch.arange(count).repeat(2)), both)
    return (terms[:count] + terms[count:]) / 2


def info_nce(anchor: Tensor, positive: Tensor, temperature: float) -> Tensor:
    cosine = F.cosine_similarity(anchor[:, None], positive[None], dim=2)
    return F.cross_entropy(cosine / temperature, torch.arange(len(anchor)), reduction="none")


def supervised_contrastive(embeddings: Tensor, target: Tensor, temperature: float) -> Tensor:
    """The library's; where nothing is negative, for which it gives zero, equation 2 of Khosla et al."""
    if len(target.unique()) > 1:
        loss = losses.SupConLoss(temperature, reducer=DoNothingReducer())
        terms = loss(embeddings, target)["loss"]["losses"]
        return terms if isinstance(terms, Tensor) else embeddings.sum(1) * 0
    if len(target) == 1:
        return embeddings.sum(1) * 0
    direction = F.normalize(embeddings, dim=1)
    others = (direction @ direction.T / temperature)[~torch.eye(len(target), dtype=torch.bool)]
    return -torch.log_softmax(others.reshape(len(target), -1), 1).mean(1)


def _normal(*shape: int, seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def _equal_rows(count: int, size: int) -> Tensor:
    """Collapsed embeddings."""
    return _normal(1, size, seed=9).repeat(count, 1)


def _several(inputs: int) -> list[Sample]:
    """Embeddings in every input."""
    samples = [
        Sample(name, tuple(_normal(*shape, seed=seed) for seed in range(inputs))) for name, shape in SHAPES.items()
    ]
    # Cosines of one feature are signs, so that what is left of a gradient is rounding.
    signs, collapsed = [_normal(4, 1, seed=seed) for seed in range(inputs)], [_equal_rows(4, 3)] * inputs
    special = {"one feature": signs, "collapsed": collapsed}
    return samples + [Sample(name, tuple(given), differentiable=False) for name, given in special.items()]


def pairs() -> list[Sample]:
    kinds = {"same": lambda n: torch.ones(n), "other": lambda n: torch.zeros(n), "both": lambda n: torch.arange(n) % 2}
    return [
        Sample(f"{s.name}, {kind}", (*s.inputs, of(len(s.prediction)).double()), differentiable=s.differentiable)
        for s in _several(2)
        for kind, of in kinds.items()
    ]


def batches() -> list[Sample]:
    samples = [Sample(name, (_normal(*shape, seed=5), torch.tensor(CLASSES[name]))) for name, shape in SHAPES.items()]
    distinct = Sample("no positives", (_normal(4, 3, seed=6), torch.arange(4)))
    collapsed = (_equal_rows(4, 3), torch.tensor([0, 0, 1, 1]))
    return [*samples, distinct, Sample("collapsed", collapsed, differentiable=False)]


def _labelled(name: str, embeddings: Tensor, labels: Tensor, centers: Tensor) -> Sample:
    one_hot = F.one_hot(labels, len(centers)).to(embeddings.dtype)
    return Sample(name, (embeddings, one_hot), labels, buffers={"centers": centers})


def centered() -> list[Sample]:
    samples = [
        _labelled(name, _normal(*shape, seed=7), torch.arange(shape[0]) % 3, _normal(3, shape[1], seed=8))
        for name, shape in SHAPES.items()
    ]
    return [*samples, _labelled("collapsed", _equal_rows(4, 3), torch.arange(4) % 2, _equal_rows(2, 3))]


def scores() -> list[Sample]:
    def signs(count: int) -> Tensor:
        return 1.0 - 2.0 * (torch.arange(count) % 2).double()

    samples = [
        Sample(name, (_normal(n, seed=1), _normal(n, seed=2), signs(n))) for name, n in (("nine", 9), ("one", 1))
    ]
    same = _normal(4, seed=3)
    return [*samples, Sample("equal", (same, same.clone(), signs(4)), differentiable=False)]


def _extreme(count: int = 3, size: int = 4) -> dict[str, Tensor]:
    """Embeddings at the ends of the domain, collapsed ones, zero vectors, and such that their squares underflow."""
    signs = _normal(count, size, seed=4).sign()
    levels = {"high": 1e4, "zero": 0.0, "tiny": 1e-30}
    ones = torch.ones(count, size, dtype=torch.float64)
    apart = {"apart": 1e4 * signs, "apart and tiny": 1e-20 * signs, "one zero": torch.diag(ones[:, 0]) @ signs}
    apart["one zero"][0] = 0.0
    return {name: level * ones for name, level in levels.items()} | apart


def _all_with(inputs: int) -> list[Sample]:
    found = _extreme()
    return [
        Sample(f"{a}, {b}", tuple((x, y)[n % 2] for n in range(inputs)))
        for a, x in found.items()
        for b, y in found.items()
    ]


def extreme_pairs() -> list[Sample]:
    return [Sample(s.name, (*s.inputs, torch.arange(3).double() % 2)) for s in _all_with(2)]


def extreme_batches() -> list[Sample]:
    labels = {"mixed": [0, 0, 1], "no positives": [0, 1, 2], "no negatives": [1, 1, 1]}
    return [
        Sample(f"{name}, {kind}", (x, torch.tensor(of)))
        for name, x in _extreme().items()
        for kind, of in labels.items()
    ]


def extreme_centered() -> list[Sample]:
    found = _extreme()
    return [_labelled(f"{a}, {b}", x, torch.tensor([0, 2, 2]), y) for a, x in found.items() for b, y in found.items()]


def extreme_scores() -> list[Sample]:
    ends = {"high": 1e4, "low": -1e4, "zero": 0.0}
    ones, signs = torch.ones(2, dtype=torch.float64), torch.tensor([1.0, -1.0], dtype=torch.float64)
    return [Sample(f"{a}, {b}", (x * ones, y * ones, signs)) for a, x in ends.items() for b, y in ends.items()]


def _empty(inputs: int) -> tuple[Tensor, ...]:
    return tuple(torch.zeros(0, 3, dtype=torch.float64) for _ in range(inputs))


_NONE = torch.zeros(0, dtype=torch.float64)
_NO_LABELS = torch.zeros(0, dtype=torch.int64)

CASES = [
    *(Case("contrastive", contrastive, {"margin": margin}) for margin in (1.0, 3.0, 0.0)),
    *(Case("triplet", triplet, {"margin": margin}) for margin in (1.0, 0.2)),
    Case("triplet", triplet, {"margin": 0.2, "squared": True}),
    *(Case("triplet_batch_hard", triplet_batch_hard, {"margin": margin}, has_both) for margin in (1.0, 0.2)),
    Case("triplet_batch_hard", triplet_batch_hard, {"margin": 0.0, "soft": True}, has_both),
    Case("n_pair", n_pair),
    Case("center", center),
    *(Case("margin_ranking", margin_ranking, {"margin": margin}, twice=False) for margin in (1.0, 0.0)),
    *(Case("nt_xent", nt_xent, {"temperature": t}) for t in (0.1, 0.5)),
    *(Case("info_nce", info_nce, {"temperature": t}) for t in (0.07, 1.0)),
    *(Case("info_nce_negatives", info_nce_negatives, {"temperature": t}) for t in (0.07, 1.0)),
    Case("multi_similarity", multi_similarity, {"alpha": 2.0, "beta": 50.0, "base": 1.0, "epsilon": 0.1}),
    Case("multi_similarity", multi_similarity, {"alpha": 3.0, "beta": 10.0, "base": 0.5, "mining": False}),
    *(Case("circle", circle, {"margin": m, "scale": s}, has_both) for m, s in ((0.4, 80.0), (0.25, 8.0))),
    *(Case("neighbourhood_components", neighbourhood_components, {"temperature": t}, has_positive) for t in (0.1, 0.5)),
    Case("binomial_deviance", binomial_deviance, {"scale": 2.0, "base": 0.5, "cost": 25.0}, has_both),
    Case("binomial_deviance", binomial_deviance, {"scale": 8.0, "base": 0.2, "cost": 1.0}, has_both),
    *(Case("supervised_contrastive", supervised_contrastive, {"temperature": t}, has_positive) for t in (0.1, 0.5)),
]

ORDINARY: dict[str, Samples] = {
    "pair": pairs,
    "triplet": lambda: _several(3),
    "embedding": batches,
    "centers": centered,
    "positives": lambda: _several(2),
    "ranking": scores,
}
EMPTY: dict[str, Samples] = {
    "pair": lambda: [Sample("empty", (*_empty(2), _NONE))],
    "triplet": lambda: [Sample("empty", _empty(3))],
    "embedding": lambda: [Sample("empty", (*_empty(1), _NO_LABELS))],
    "centers": lambda: [_labelled("empty", _empty(1)[0], _NO_LABELS, _normal(2, 3, seed=8))],
    "positives": lambda: [Sample("empty", _empty(2))],
    "ranking": lambda: [Sample("empty", (_NONE, _NONE, _NONE))],
}
EXTREME: dict[str, Samples] = {
    "pair": extreme_pairs,
    "triplet": lambda: _all_with(3),
    "embedding": extreme_batches,
    "centers": extreme_centered,
    "positives": lambda: _all_with(2),
    "ranking": extreme_scores,
}
