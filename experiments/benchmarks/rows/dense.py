"""Classification and segmentation from integer labels, and cosine logits of margin heads."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any, cast

import torch
import torch.nn.functional as F
from monai.losses.dice import DiceCELoss, DiceLoss
from monai.losses.focal_loss import FocalLoss
from monai.losses.tversky import TverskyLoss
from pytorch_metric_learning.losses import ArcFaceLoss, CosFaceLoss
from torch import Tensor

from .row import Form, Inputs, Row

SMOOTH = 1e-5


def labelled(*size: int) -> tuple[Tensor, Tensor]:
    """Logits, and integer labels."""
    return torch.randn(size), torch.randint(size[1], (size[0], *size[2:]))


def weighted(*size: int) -> tuple[tuple[Tensor, Tensor], Mapping[str, Tensor]]:
    """The same with class weights."""
    return labelled(*size), {"class_weight": torch.rand(size[1]) + 0.5}


def cosines(*size: int) -> tuple[Tensor, Tensor]:
    """Cosines to every class, and integer labels."""
    return 1.9 * torch.rand(size) - 0.95, torch.randint(size[1], size[:1])


DENSE = Inputs(labelled, small=(256, 10), large=(4, 21, 256, 256), tiny=(3, 4, 5))
WEIGHTED = Inputs(weighted, small=DENSE.small, large=DENSE.large, tiny=DENSE.tiny)
MARGIN = Inputs(cosines, small=(64, 1000), large=(256, 10000), tiny=(4, 5))


def _chosen(values: Tensor, target: Tensor) -> Tensor:
    return values.gather(1, target.unsqueeze(1)).squeeze(1)


def cross_entropy_by_gather(logits: Tensor, target: Tensor) -> Tensor:
    return -_chosen(F.log_softmax(logits, 1), target).mean()


def weighted_by_gather(logits: Tensor, target: Tensor, weight: Tensor) -> Tensor:
    chosen = weight[target]
    return -(chosen * _chosen(F.log_softmax(logits, 1), target)).sum() / chosen.sum()


def smoothing_by_gather(logits: Tensor, target: Tensor) -> Tensor:
    log_p = F.log_softmax(logits, 1)
    return -0.9 * _chosen(log_p, target).mean() - 0.1 * log_p.mean()


def focal_by_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """γ = 2, on top of PyTorch's fused cross-entropy."""
    cross_entropy = F.cross_entropy(logits, target, reduction="none")
    return ((1 - torch.exp(-cross_entropy)) ** 2 * cross_entropy).mean()


def focal_by_gather(logits: Tensor, target: Tensor) -> Tensor:
    """γ = 2, from the label's log-probability."""
    log_p = F.log_softmax(logits, 1).gather(1, target.unsqueeze(1))
    return (-((1 - log_p.exp()) ** 2) * log_p).mean()


def hinge_by_gather(logits: Tensor, target: Tensor) -> Tensor:
    terms = (1 - logits.gather(1, target.unsqueeze(1)) + logits).clamp(min=0)
    return ((terms.sum(1) - 1) / logits.shape[1]).mean()


def _one_hot(target: Tensor, like: Tensor) -> Tensor:
    return F.one_hot(target, like.shape[1]).movedim(-1, 1).to(like.dtype)


def brier_by_one_hot(logits: Tensor, target: Tensor) -> Tensor:
    p = F.softmax(logits, 1)
    return (p - _one_hot(target, p)).pow(2).sum(1).mean()


def brier_by_gather(logits: Tensor, target: Tensor) -> Tensor:
    p = F.softmax(logits, 1)
    return (p.square().sum(1) - 2 * _chosen(p, target) + 1).mean()


def probability_mae_by_gather(logits: Tensor, target: Tensor) -> Tensor:
    """Σ |p - t| = 2 - 2 p_y."""
    return (2 - 2 * _chosen(F.softmax(logits, 1), target)).mean()


def generalized_by_gather(logits: Tensor, target: Tensor) -> Tensor:
    return ((1 - _chosen(F.softmax(logits, 1), target) ** 0.7) / 0.7).mean()


def symmetric_by_gather(logits: Tensor, target: Tensor) -> Tensor:
    """α = 0.1, β = 1, A = -4; the reverse term is -A (1 - p_y)."""
    log_p = _chosen(F.log_softmax(logits, 1), target)
    return (-0.1 * log_p + 4 * (1 - log_p.exp())).mean()


def poly1_by_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    cross_entropy = F.cross_entropy(logits, target, reduction="none")
    return (cross_entropy + 1 - torch.exp(-cross_entropy)).mean()


def _sums_by_one_hot(logits: Tensor, target: Tensor, squared: bool) -> tuple[Tensor, Tensor, Tensor]:
    """Per class over batch and space: overlap, predicted and labelled amount."""
    p = F.softmax(logits, 1)
    one_hot = _one_hot(target, p)
    dims = (0, *range(2, p.dim()))
    return (p * one_hot).sum(dims), (p.square() if squared else p).sum(dims), one_hot.sum(dims)


def _sums_by_scatter(logits: Tensor, target: Tensor, squared: bool) -> tuple[Tensor, Tensor, Tensor]:
    """The same from the labels' own probabilities, without one-hot vectors."""
    p = F.softmax(logits, 1)
    chosen, labels = _chosen(p, target).flatten(), target.flatten()
    zeros = p.new_zeros(p.shape[1])
    predicted = (p.square() if squared else p).sum((0, *range(2, p.dim())))
    labelled_ = zeros.scatter_add(0, labels, torch.ones_like(chosen))
    return zeros.scatter_add(0, labels, chosen), predicted, labelled_


def _dice(overlap: Tensor, predicted: Tensor, labelled_: Tensor) -> Tensor:
    return (1 - (2 * overlap + SMOOTH) / (predicted + labelled_ + SMOOTH)).mean()


def _jaccard(overlap: Tensor, predicted: Tensor, labelled_: Tensor) -> Tensor:
    return (1 - (overlap + SMOOTH) / (predicted + labelled_ - overlap + SMOOTH)).mean()


def _tversky(overlap: Tensor, predicted: Tensor, labelled_: Tensor) -> Tensor:
    """α = 0.3, β = 0.7."""
    return (1 - (overlap + SMOOTH) / (0.3 * predicted + 0.7 * labelled_ + SMOOTH)).mean()


def focal_tversky_by_scatter(logits: Tensor, target: Tensor) -> Tensor:
    """α = 0.3, β = 0.7, γ = 4/3."""
    overlap, predicted, labelled_ = _sums_by_scatter(logits, target, squared=False)
    index = (overlap + SMOOTH) / (0.3 * predicted + 0.7 * labelled_ + SMOOTH)
    return (1 - index).pow(0.75).mean()


def cross_entropy_dice_by_scatter(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits, target) + _dice(*_sums_by_scatter(logits, target, squared=False))


def dice_by_one_hot(logits: Tensor, target: Tensor) -> Tensor:
    """Soft Dice per class over the batch, squared cardinalities, as most repositories have it."""
    return _dice(*_sums_by_one_hot(logits, target, squared=True))


def dice_by_scatter(logits: Tensor, target: Tensor) -> Tensor:
    return _dice(*_sums_by_scatter(logits, target, squared=True))


def jaccard_by_one_hot(logits: Tensor, target: Tensor) -> Tensor:
    return _jaccard(*_sums_by_one_hot(logits, target, squared=False))


def jaccard_by_scatter(logits: Tensor, target: Tensor) -> Tensor:
    return _jaccard(*_sums_by_scatter(logits, target, squared=False))


def tversky_by_one_hot(logits: Tensor, target: Tensor) -> Tensor:
    return _tversky(*_sums_by_one_hot(logits, target, squared=False))


def tversky_by_scatter(logits: Tensor, target: Tensor) -> Tensor:
    return _tversky(*_sums_by_scatter(logits, target, squared=False))


def _torch(function: Callable[..., Tensor], **arguments: Any) -> Form:
    return Form(f"torch {function.__name__}", lambda *inputs: function(*inputs, **arguments))


def _with_channel(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """MONAI makes one-hot vectors of labels along a channel axis."""
    return logits, target.unsqueeze(1)


def _monai(make: Callable[..., Callable[..., Tensor]], **arguments: Any) -> Form:
    loss = make(to_onehot_y=True, softmax=True, batch=True, **arguments)
    return Form(f"monai {make.__name__}", loss, _with_channel)


def _monai_focal() -> Form:
    loss = FocalLoss(to_onehot_y=True, use_softmax=True, gamma=2.0)  # averages over classes too
    return Form("monai FocalLoss", lambda logits, target: loss(logits, target) * logits.shape[1], _with_channel)


def _as_rows(logits: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """multi_margin_loss takes [element, class]."""
    return logits.movedim(1, -1).reshape(-1, logits.shape[1]), target.flatten()


def cosface_by_one_hot(cosine: Tensor, target: Tensor) -> Tensor:
    """As most repositories have it, m = 0.35, s = 64."""
    return F.cross_entropy(64.0 * (cosine - 0.35 * _one_hot(target, cosine)), target)


def cosface_by_index(cosine: Tensor, target: Tensor) -> Tensor:
    margin = torch.zeros_like(cosine).scatter_(1, target.unsqueeze(1), 0.35)
    return F.cross_entropy(64.0 * (cosine - margin), target)


def arcface_by_scatter(cosine: Tensor, target: Tensor) -> Tensor:
    """As the authors' code, m = 0.5, s = 64."""
    own = target.unsqueeze(1)
    true = cosine.gather(1, own)
    moved = true * math.cos(0.5) - (1 - true.square()).sqrt() * math.sin(0.5)
    lowered = torch.where(true > -math.cos(0.5), moved, true - 0.5 * math.sin(0.5))
    return F.cross_entropy(64.0 * cosine.scatter(1, own, lowered), target)


def normalized_softmax_by_gather(cosine: Tensor, target: Tensor) -> Tensor:
    return -_chosen(F.log_softmax(64.0 * cosine, 1), target).mean()


def _margin_head(base: type, margin: float) -> Form:
    """The library's loss with the cosines given instead of embeddings; its class weights have no part in it."""

    class Head(base):
        def get_cosine(self, embeddings: Tensor) -> Tensor:
            return embeddings

    def mean(cosine: Tensor, target: Tensor, head: Any) -> Tensor:
        return head.compute_loss(cosine, target, None, cosine, target)["loss"]["losses"].mean()

    def convert(cosine: Tensor, target: Tensor) -> tuple[Tensor, Tensor, Any]:
        # One feature, since the weights are not used.
        return cosine, target, Head(cosine.shape[1], 1, margin=margin, scale=cast(Any, 64.0))

    return Form(f"pytorch_metric_learning {base.__name__}", mean, convert)


def top_k_by_topk(logits: Tensor, target: Tensor) -> Tensor:
    """The hardest tenth."""
    losses = F.cross_entropy(logits, target, reduction="none").flatten()
    return torch.topk(losses, math.ceil(0.1 * len(losses))).values.mean()


def taught(*size: int) -> tuple[Tensor, Tensor, Tensor]:
    """Logits, integer labels, and a teacher's logits."""
    return *labelled(*size), torch.randn(size)


TAUGHT = Inputs(taught, small=DENSE.small, large=DENSE.large, tiny=DENSE.tiny)


def distillation_by_kl_div(logits: Tensor, target: Tensor, teacher: Tensor) -> Tensor:
    """α = 0.9, T = 4."""
    student, known = F.log_softmax(logits / 4, 1), F.log_softmax(teacher / 4, 1)
    divergence = F.kl_div(student, known, reduction="none", log_target=True).sum(1).mean()
    return 0.9 * 16 * divergence + 0.1 * F.cross_entropy(logits, target)


def decoupled_by_masking(logits: Tensor, target: Tensor, teacher: Tensor) -> Tensor:
    """α = 1, β = 8, T = 4; the true class hidden by a large number."""
    own = _one_hot(target, logits)
    p, q = (F.softmax(x / 4, 1) for x in (logits, teacher))
    yes = [(x * own).sum(1) for x in (p, q)]
    of_target = F.kl_div(yes[0].log(), yes[1], reduction="none")
    of_target = of_target + F.kl_div((1 - yes[0]).log(), 1 - yes[1], reduction="none")
    rest = [F.log_softmax(x / 4 - 1000 * own, 1) for x in (logits, teacher)]
    of_others = F.kl_div(rest[0], rest[1], reduction="none", log_target=True).sum(1)
    return F.cross_entropy(logits, target) + 16 * (of_target + 8 * of_others).mean()


ROWS = [
    Row("top_k_cross_entropy", DENSE, (), (top_k_by_topk,)),
    Row("knowledge_distillation", TAUGHT, (), (distillation_by_kl_div,)),
    Row("decoupled_distillation", TAUGHT, (), (decoupled_by_masking,)),
    Row("cross_entropy", DENSE, (_torch(F.cross_entropy),), (cross_entropy_by_gather,)),
    Row(
        "weighted_cross_entropy",
        WEIGHTED,
        (Form("torch cross_entropy", lambda logits, target, weight: F.cross_entropy(logits, target, weight)),),
        (weighted_by_gather,),
    ),
    Row(
        "label_smoothing_cross_entropy",
        DENSE,
        (_torch(F.cross_entropy, label_smoothing=0.1),),
        (smoothing_by_gather,),
    ),
    Row("focal", DENSE, (_monai_focal(),), (focal_by_cross_entropy, focal_by_gather)),
    Row("hinge", DENSE, (Form("torch multi_margin_loss", F.multi_margin_loss, _as_rows),), (hinge_by_gather,)),
    Row("brier", DENSE, (), (brier_by_gather, brier_by_one_hot)),
    Row("probability_mae", DENSE, (), (probability_mae_by_gather,)),
    Row("generalized_cross_entropy", DENSE, (), (generalized_by_gather,)),
    Row("symmetric_cross_entropy", DENSE, (), (symmetric_by_gather,)),
    Row("poly1", DENSE, (), (poly1_by_cross_entropy,)),
    Row(
        "dice",
        DENSE,
        (_monai(DiceLoss, squared_pred=True, smooth_nr=SMOOTH, smooth_dr=SMOOTH),),
        (dice_by_one_hot, dice_by_scatter),
    ),
    Row(
        "jaccard",  # MONAI doubles numerator and denominator
        DENSE,
        (_monai(DiceLoss, jaccard=True, smooth_nr=2 * SMOOTH, smooth_dr=2 * SMOOTH),),
        (jaccard_by_one_hot, jaccard_by_scatter),
    ),
    Row(
        "tversky",
        DENSE,
        (_monai(TverskyLoss, alpha=0.3, beta=0.7, smooth_nr=SMOOTH, smooth_dr=SMOOTH),),
        (tversky_by_one_hot, tversky_by_scatter),
    ),
    Row("focal_tversky", DENSE, (), (focal_tversky_by_scatter,)),
    Row(
        "cross_entropy_dice",
        DENSE,
        (_monai(DiceCELoss, smooth_nr=SMOOTH, smooth_dr=SMOOTH),),
        (cross_entropy_dice_by_scatter,),
    ),
    Row("arcface", MARGIN, (_margin_head(ArcFaceLoss, math.degrees(0.5)),), (arcface_by_scatter,)),
    Row("cosface", MARGIN, (_margin_head(CosFaceLoss, 0.35),), (cosface_by_one_hot, cosface_by_index)),
    Row(
        "normalized_softmax",
        MARGIN,
        (Form("torch cross_entropy", lambda cosine, target: F.cross_entropy(64.0 * cosine, target)),),
        (normalized_softmax_by_gather,),
    ),
]
