"""Embeddings and views: pytorch-metric-learning and torch.nn.functional."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import torch
import torch.nn.functional as F
from pytorch_metric_learning import losses, miners
from pytorch_metric_learning.distances import LpDistance
from pytorch_metric_learning.reducers import MeanReducer
from torch import Tensor

from .row import Form, Inputs, Row


def several(inputs: int) -> Callable[..., tuple[Tensor, ...]]:
    """So many batches of embeddings."""
    return lambda *size: tuple(torch.randn(inputs, *size).unbind())


def with_classes(*size: int) -> tuple[Tensor, Tensor]:
    """Four embeddings of every class."""
    return torch.randn(size), torch.arange(size[0]) % (size[0] // 4)


def with_kinds(*size: int) -> tuple[Tensor, ...]:
    """Pairs close enough for a margin of one, of the same class and of others."""
    first = torch.randn(size)
    return first, first + torch.randn(size) / size[1] ** 0.5, (torch.arange(size[0]) % 2).float()


def with_centers(*size: int) -> tuple[tuple[Tensor, Tensor], Mapping[str, Tensor]]:
    """Embeddings, labels and centres of ten classes."""
    return (torch.randn(size), torch.arange(size[0]) % 10), {"centers": torch.randn(10, size[1])}


def ranked(*size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Scores of two items, and which is to be the higher."""
    return torch.randn(size), torch.randn(size), 1.0 - 2.0 * (torch.arange(size[0]) % 2)


ROWWISE = {"small": (64, 128), "large": (4096, 256), "tiny": (8, 5)}
PAIRWISE = {"small": (64, 128), "large": (1024, 128), "tiny": (8, 5)}
PAIR, TRIPLET = Inputs(with_kinds, **ROWWISE), Inputs(several(3), **ROWWISE)
CENTERS = Inputs(with_centers, **ROWWISE)
RANKING = Inputs(ranked, small=(256,), large=(2**20,), tiny=(6,))
EMBEDDING, POSITIVES = Inputs(with_classes, **PAIRWISE), Inputs(several(2), **PAIRWISE)
PREDICTED = Inputs(several(4), **ROWWISE)
ATTENTION = Inputs(several(2), small=(8, 14, 14), large=(64, 128, 128), tiny=(2, 3, 4))


def contrastive_by_norm(first: Tensor, second: Tensor, target: Tensor) -> Tensor:
    distance = torch.linalg.vector_norm(first - second, dim=1)
    return ((target * distance.square() + (1 - target) * F.relu(1 - distance).square()) / 2).mean()


def triplet_by_norm(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    near, far = (torch.linalg.vector_norm(anchor - other, dim=1) for other in (positive, negative))
    return F.relu(near - far + 1).mean()


def _hard_triplets(squared: Tensor, target: Tensor) -> Tensor:
    same = target[:, None] == target
    farthest = squared.masked_fill(~same, 0).max(1).values.sqrt()
    nearest = squared.masked_fill(same, float("inf")).min(1).values.sqrt()
    return F.relu(farthest - nearest + 1).mean()


def batch_hard_by_product(embeddings: Tensor, target: Tensor) -> Tensor:
    lengths = embeddings.square().sum(1)
    return _hard_triplets(lengths[:, None] + lengths - 2 * embeddings @ embeddings.T, target)


def batch_hard_by_cdist(embeddings: Tensor, target: Tensor) -> Tensor:
    distance, same = torch.cdist(embeddings, embeddings), target[:, None] == target
    farthest = distance.masked_fill(~same, 0).max(1).values
    return F.relu(farthest - distance.masked_fill(same, float("inf")).min(1).values + 1).mean()


def n_pair_by_product(anchor: Tensor, positive: Tensor) -> Tensor:
    return F.cross_entropy(anchor @ positive.T, torch.arange(len(anchor), device=anchor.device))


def center_by_index(embeddings: Tensor, target: Tensor, centers: Tensor) -> Tensor:
    return F.mse_loss(embeddings, centers[target]) * (embeddings.shape[1] / 2)


def margin_ranking_by_relu(first: Tensor, second: Tensor, target: Tensor) -> Tensor:
    return F.relu(1 - target * (first - second)).mean()


def nt_xent_by_product(anchor: Tensor, positive: Tensor) -> Tensor:
    """Both views in one matrix, as the authors' code."""
    count = len(anchor)
    views = F.normalize(torch.cat([anchor, positive]))
    similarity = (views @ views.T / 0.1).fill_diagonal_(float("-inf"))
    return F.cross_entropy(similarity, torch.arange(2 * count, device=anchor.device).roll(count))


def info_nce_by_product(anchor: Tensor, positive: Tensor) -> Tensor:
    similarity = F.normalize(anchor) @ F.normalize(positive).T / 0.07
    return F.cross_entropy(similarity, torch.arange(len(anchor), device=anchor.device))


def supervised_contrastive_by_product(embeddings: Tensor, target: Tensor) -> Tensor:
    direction = F.normalize(embeddings)
    itself = torch.eye(len(target), dtype=torch.bool, device=target.device)
    log_p = (direction @ direction.T / 0.1).masked_fill(itself, -1e4).log_softmax(1)
    positives = (target[:, None] == target).float().fill_diagonal_(0)
    return -((log_p * positives).sum(1) / positives.sum(1)).mean()


def clip_by_product(first: Tensor, second: Tensor) -> Tensor:
    similarity = F.normalize(first) @ F.normalize(second).T / 0.07
    own = torch.arange(len(first), device=first.device)
    return (F.cross_entropy(similarity, own) + F.cross_entropy(similarity.T, own)) / 2


def byol_by_normalize(first: Tensor, second: Tensor, first_target: Tensor, second_target: Tensor) -> Tensor:
    forwards = (F.normalize(first) * F.normalize(second_target)).sum(1)
    return (4 - 2 * (forwards + (F.normalize(second) * F.normalize(first_target)).sum(1))).mean()


def byol_by_cosine(first: Tensor, second: Tensor, first_target: Tensor, second_target: Tensor) -> Tensor:
    return (4 - 2 * (F.cosine_similarity(first, second_target) + F.cosine_similarity(second, first_target))).mean()


def simsiam_by_normalize(first: Tensor, second: Tensor, first_target: Tensor, second_target: Tensor) -> Tensor:
    forwards = (F.normalize(first) * F.normalize(second_target)).sum(1).mean()
    return -(forwards + (F.normalize(second) * F.normalize(first_target)).sum(1).mean()) / 2


def simsiam_by_cosine(first: Tensor, second: Tensor, first_target: Tensor, second_target: Tensor) -> Tensor:
    forwards = F.cosine_similarity(first, second_target).mean()
    return -(forwards + F.cosine_similarity(second, first_target).mean()) / 2


def barlow_twins_by_batch_norm(first: Tensor, second: Tensor) -> Tensor:
    """As the authors' code, λ = 0.005."""
    a, b = (F.batch_norm(x, None, None, training=True, eps=1e-8) for x in (first, second))
    correlation = a.T @ b / len(first)
    diagonal = torch.diagonal(correlation)
    off = correlation.square().sum() - diagonal.square().sum()
    return (1 - diagonal).square().sum() + 0.005 * off


def barlow_twins_by_corrcoef(first: Tensor, second: Tensor) -> Tensor:
    size = first.shape[1]
    correlation = torch.corrcoef(torch.cat([first, second], 1).T)[:size, size:]
    diagonal = torch.diagonal(correlation)
    off = correlation.square().sum() - diagonal.square().sum()
    return (1 - diagonal).square().sum() + 0.005 * off


def attention_by_normalize(attention: Tensor, target: Tensor) -> Tensor:
    difference = F.normalize(attention.flatten(1)) - F.normalize(target.flatten(1))
    return difference.square().sum(1).mean()


def siglip_by_product(first: Tensor, second: Tensor) -> Tensor:
    """t = 10, b = -10."""
    logits = 10 * F.normalize(first) @ F.normalize(second).T - 10
    signs = 2 * torch.eye(len(first), device=first.device) - 1
    return -F.logsigmoid(signs * logits).sum(1).mean()


def vicreg_by_product(first: Tensor, second: Tensor) -> Tensor:
    """λ = μ = 25, ν = 1."""
    total = 25 * F.mse_loss(first, second)
    for x in (first, second):
        centred = x - x.mean(0)
        moments = centred.T @ centred / (len(x) - 1)
        total = total + 25 * F.relu(1 - (moments.diagonal() + 1e-4).sqrt()).mean()
        total = total + (moments.square().sum() - moments.diagonal().square().sum()) / x.shape[1]
    return total


def info_nce_with_queue(anchor: Tensor, positive: Tensor, negative: Tensor) -> Tensor:
    """τ = 0.07, as MoCo's code."""
    a, p, n = (F.normalize(x) for x in (anchor, positive, negative))
    logits = torch.cat([(a * p).sum(1, keepdim=True), a @ n.T], 1) / 0.07
    return F.cross_entropy(logits, torch.zeros(len(a), dtype=torch.int64, device=a.device))


def _signs(embeddings: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Cosines, and masks of positives and negatives."""
    unit = F.normalize(embeddings)
    same = target[:, None] == target
    return unit @ unit.T, same & ~torch.eye(len(target), dtype=torch.bool, device=target.device), ~same


def multi_similarity_by_masks(embeddings: Tensor, target: Tensor) -> Tensor:
    """α = 2, β = 50, λ = 1, ε = 0.1."""
    cosine, positives, negatives = _signs(embeddings, target)
    farthest = cosine.masked_fill(~positives, float("inf")).amin(1, keepdim=True)
    nearest = cosine.masked_fill(~negatives, -float("inf")).amax(1, keepdim=True)
    near = torch.exp(-2 * (cosine - 1)) * (positives & (cosine - 0.1 < nearest))
    far = torch.exp(50 * (cosine - 1)) * (negatives & (cosine + 0.1 > farthest))
    return (torch.log1p(near.sum(1)) / 2 + torch.log1p(far.sum(1)) / 50).mean()


def circle_by_masks(embeddings: Tensor, target: Tensor) -> Tensor:
    """m = 0.4, γ = 80."""
    cosine, positives, negatives = _signs(embeddings, target)
    held = cosine.detach()
    far = -80 * F.relu(1.4 - held) * (cosine - 0.6)
    near = 80 * F.relu(held + 0.4) * (cosine - 0.4)
    hidden = float("-inf")
    joined = far.masked_fill(~positives, hidden).logsumexp(1) + near.masked_fill(~negatives, hidden).logsumexp(1)
    return F.softplus(joined).mean()


def _metric(loss: Any, convert: Any = None) -> Form:
    scales = not isinstance(loss, losses.NTXentLoss)  # which has a row of all negatives for every positive pair
    return Form(f"pytorch_metric_learning {type(loss).__name__}", loss, convert, scales)


def _joined(anchor: Tensor, positive: Tensor) -> tuple[Tensor, Tensor]:
    """The library takes one batch, where both views of an instance have the same label."""
    return torch.cat([anchor, positive]), torch.arange(len(anchor), device=anchor.device).repeat(2)


def _two_batches(anchor: Tensor, positive: Tensor) -> tuple[Any, ...]:
    """Labels that are one object would mean one batch to the library, which pairs nothing with itself."""
    own = torch.arange(len(anchor), device=anchor.device)
    return anchor, own, None, positive, own.clone()


def _n_pairs() -> Form:
    loss = losses.NPairsLoss(reducer=MeanReducer())
    loss.distance.normalize_embeddings = False
    return _metric(loss, _joined)


def _batch_hard() -> Form:
    distance = LpDistance(normalize_embeddings=False)
    miner = miners.BatchHardMiner(distance=distance)
    loss = losses.TripletMarginLoss(1.0, distance=distance, reducer=MeanReducer())
    name = "pytorch_metric_learning TripletMarginLoss"
    return Form(name, lambda embeddings, target: loss(embeddings, target, miner(embeddings, target)))


def _multi_similarity() -> Form:
    miner, loss = miners.MultiSimilarityMiner(0.1), losses.MultiSimilarityLoss(2, 50, 1.0)
    name = "pytorch_metric_learning MultiSimilarityLoss"
    return Form(name, lambda embeddings, target: loss(embeddings, target, miner(embeddings, target)))


ROWS = [
    Row("siglip", POSITIVES, (), (siglip_by_product,)),
    Row("vicreg", POSITIVES, (), (vicreg_by_product,)),
    Row("info_nce_negatives", Inputs(several(3), **PAIRWISE), (), (info_nce_with_queue,)),
    Row("multi_similarity", EMBEDDING, (_multi_similarity(),), (multi_similarity_by_masks,)),
    Row("circle", EMBEDDING, (_metric(losses.CircleLoss(0.4, 80)),), (circle_by_masks,)),
    Row("contrastive", PAIR, (), (contrastive_by_norm,)),
    Row(
        "triplet",
        TRIPLET,
        (Form("torch triplet_margin_loss", lambda a, p, n: F.triplet_margin_loss(a, p, n, eps=0.0)),),
        (triplet_by_norm,),
    ),
    Row("triplet_batch_hard", EMBEDDING, (_batch_hard(),), (batch_hard_by_product, batch_hard_by_cdist)),
    Row("n_pair", POSITIVES, (_n_pairs(),), (n_pair_by_product,)),
    Row("center", CENTERS, (), (center_by_index,)),
    Row(
        "margin_ranking",
        RANKING,
        (Form("torch margin_ranking_loss", lambda a, b, t: F.margin_ranking_loss(a, b, t, margin=1.0)),),
        (margin_ranking_by_relu,),
    ),
    Row("nt_xent", POSITIVES, (_metric(losses.NTXentLoss(0.1), _joined),), (nt_xent_by_product,)),
    Row("info_nce", POSITIVES, (_metric(losses.NTXentLoss(0.07), _two_batches),), (info_nce_by_product,)),
    Row(
        "supervised_contrastive",
        EMBEDDING,
        (_metric(losses.SupConLoss(0.1, reducer=MeanReducer())),),
        (supervised_contrastive_by_product,),
    ),
    Row("clip", POSITIVES, (), (clip_by_product,)),
    Row("byol", PREDICTED, (), (byol_by_normalize, byol_by_cosine)),
    Row("simsiam", PREDICTED, (), (simsiam_by_normalize, simsiam_by_cosine)),
    Row("barlow_twins", POSITIVES, (), (barlow_twins_by_batch_norm, barlow_twins_by_corrcoef)),
    Row("attention_target", ATTENTION, (), (attention_by_normalize,)),
]
