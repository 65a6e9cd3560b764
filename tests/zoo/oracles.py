"""Independent references: another library's loss, or the paper's formula written out, never our graph.

Each takes (prediction, target as a distribution or boxes or maps, **arguments) and returns the unreduced loss.
"""

from __future__ import annotations

import math
from typing import Any, cast

import torch
import torch.nn.functional as F
from monai.losses.dice import DiceLoss
from monai.losses.focal_loss import softmax_focal_loss
from monai.losses.tversky import TverskyLoss
from pytorch_metric_learning.distances import CosineSimilarity
from pytorch_metric_learning.losses import ArcFaceLoss, CosFaceLoss, ProxyAnchorLoss
from pytorch_metric_learning.reducers import DoNothingReducer
from torch import Tensor


def _rows(x: Tensor) -> Tensor:
    """[batch, class, *space] as [element, class]."""
    return x.movedim(1, -1).reshape(-1, x.shape[1])


def _maps(x: Tensor) -> Tensor:
    """[batch, class, *space] as [batch, class, position]."""
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


def _elements(rows: Tensor, like: Tensor) -> Tensor:
    """[element] as [batch, *space]."""
    return rows.reshape(like.shape[0], *like.shape[2:])


def cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return F.cross_entropy(logits, target, reduction="none")


def label_smoothing_cross_entropy(logits: Tensor, target: Tensor, smoothing: float) -> Tensor:
    return F.cross_entropy(logits, target, reduction="none", label_smoothing=smoothing)


def focal(logits: Tensor, target: Tensor, gamma: float) -> Tensor:
    """MONAI keeps the class axis, and its class computes in float32: the function below it, summed over the axis."""
    return softmax_focal_loss(logits, target, gamma).sum(1)


def hinge(logits: Tensor, target: Tensor, margin: float) -> Tensor:
    """multi_margin_loss for labels; for soft targets its definition with Σ_c t_c x_c in place of x_y."""
    x, t = _rows(logits), _rows(target)
    if bool(((t == 0) | (t == 1)).all()):
        return _elements(F.multi_margin_loss(x, t.argmax(1), margin=margin, reduction="none"), logits)
    terms = (margin - (t * x).sum(1, keepdim=True) + x).clamp(min=0)
    return _elements((terms.sum(1) - margin) / x.shape[1], logits)


def brier(logits: Tensor, target: Tensor) -> Tensor:
    return (torch.softmax(logits, 1) - target).pow(2).sum(1)


def probability_mae(logits: Tensor, target: Tensor) -> Tensor:
    return F.l1_loss(torch.softmax(logits, 1), target, reduction="none").sum(1)


def generalized_cross_entropy(logits: Tensor, target: Tensor, q: float) -> Tensor:
    """Equation 6 of Zhang and Sabuncu for each label, averaged over the target."""
    return (target * (1 - torch.softmax(logits, 1) ** q) / q).sum(1)


def symmetric_cross_entropy(logits: Tensor, target: Tensor, alpha: float, beta: float, log_zero: float) -> Tensor:
    """Section 3 of Wang et al.: H(q, p) and H(p, q), with log 0 = A."""
    p = torch.softmax(logits, 1)
    reverse = -(p * torch.where(target > math.exp(log_zero), target, math.exp(log_zero)).log()).sum(1)
    return alpha * F.cross_entropy(logits, target, reduction="none") + beta * reverse


def poly1(logits: Tensor, target: Tensor, epsilon: float) -> Tensor:
    """Algorithm 1 of Leng et al."""
    one_minus_pt = (target * (1 - torch.softmax(logits, 1))).sum(1)
    return F.cross_entropy(logits, target, reduction="none") + epsilon * one_minus_pt


def dice(logits: Tensor, target: Tensor, smooth: float, per: str = "batch", squared: bool = True) -> Tensor:
    loss = DiceLoss(
        softmax=True,
        squared_pred=squared,
        batch=per == "batch",
        reduction="none",
        smooth_nr=smooth,
        smooth_dr=smooth,
    )
    return loss(_maps(logits), _maps(target)).reshape(_classes(logits, per))


def jaccard(logits: Tensor, target: Tensor, smooth: float, per: str = "batch") -> Tensor:
    """MONAI doubles numerator and denominator, so its smoothing is twice ours."""
    loss = DiceLoss(
        softmax=True,
        jaccard=True,
        batch=per == "batch",
        reduction="none",
        smooth_nr=2 * smooth,
        smooth_dr=2 * smooth,
    )
    return loss(_maps(logits), _maps(target)).reshape(_classes(logits, per))


def tversky(logits: Tensor, target: Tensor, alpha: float, beta: float, smooth: float, per: str = "batch") -> Tensor:
    loss = TverskyLoss(
        softmax=True,
        alpha=alpha,
        beta=beta,
        batch=per == "batch",
        reduction="none",
        smooth_nr=smooth,
        smooth_dr=smooth,
    )
    return loss(_maps(logits), _maps(target)).reshape(_classes(logits, per))


def _classes(logits: Tensor, per: str) -> tuple[int, ...]:
    return (logits.shape[1],) if per == "batch" else (logits.shape[0], logits.shape[1])


def giou(boxes: Tensor, target: Tensor) -> Tensor:
    """Algorithm 2 of Rezatofighi et al., with a ratio of two zero areas taken as zero."""

    def ratio(part: Tensor, whole: Tensor) -> Tensor:
        return torch.where(whole > 0, part / torch.where(whole > 0, whole, 1.0), 0.0)

    ax1, ay1, ax2, ay2 = boxes.unbind(1)
    bx1, by1, bx2, by2 = target.unbind(1)
    areas = (ax2 - ax1) * (ay2 - ay1) + (bx2 - bx1) * (by2 - by1)
    inner_x = (torch.minimum(ax2, bx2) - torch.maximum(ax1, bx1)).clamp(min=0)
    inner_y = (torch.minimum(ay2, by2) - torch.maximum(ay1, by1)).clamp(min=0)
    outer_x = torch.maximum(ax2, bx2) - torch.minimum(ax1, bx1)
    outer_y = torch.maximum(ay2, by2) - torch.minimum(ay1, by1)
    union, outer = areas - inner_x * inner_y, outer_x * outer_y
    return 1 - (ratio(inner_x * inner_y, union) - ratio(outer - union, outer))


class _CosineArcFace(ArcFaceLoss):
    """The library's loss with the cosines given instead of embeddings."""

    def get_cosine(self, embeddings: Tensor) -> Tensor:
        return embeddings


def arcface(cosine: Tensor, target: Tensor, margin: float, scale: float) -> Tensor:
    """Margin in radians here, in degrees there."""
    classes = cosine.shape[1]
    loss = _CosineArcFace(classes, classes, margin=math.degrees(margin), scale=cast(Any, scale))
    labels = target.argmax(1)
    return loss.compute_loss(cosine, labels, None, cosine, labels)["loss"]["losses"]


class _CosineCosFace(CosFaceLoss):
    """The library's loss with the cosines given instead of embeddings."""

    def get_cosine(self, embeddings: Tensor) -> Tensor:
        return embeddings


def cosface(cosine: Tensor, target: Tensor, margin: float, scale: float) -> Tensor:
    classes = cosine.shape[1]
    loss = _CosineCosFace(classes, classes, margin=margin, scale=cast(Any, scale))
    labels = target.argmax(1)
    return loss.compute_loss(cosine, labels, None, cosine, labels)["loss"]["losses"]


def sphereface(cosine: Tensor, target: Tensor, margin: float, scale: float) -> Tensor:
    """Equation 6 of Liu et al. 2022 with angles."""
    angle = torch.acos(cosine)
    moved = torch.cos((margin * angle).clamp(max=math.pi))
    return F.cross_entropy(scale * torch.where(target > 0.5, moved, cosine), target.argmax(1), reduction="none")


class _CosineProxyAnchor(ProxyAnchorLoss):
    """The library's loss, whose proxies are the axes and whose distance takes the cosines as they are."""

    def __init__(self, classes: int, margin: float, scale: float) -> None:
        given: Any = {"margin": margin, "alpha": scale}  # integers to the library's annotations
        super().__init__(classes, classes, **given, reducer=DoNothingReducer())
        self.distance = _Taken()


class _Taken(CosineSimilarity):
    def forward(self, query_emb: Tensor, ref_emb: Tensor | None = None) -> Tensor:
        return query_emb


def proxy_anchor(cosine: Tensor, target: Tensor, margin: float, scale: float) -> Tensor:
    classes, labels = cosine.shape[1], target.argmax(1)
    loss = _CosineProxyAnchor(classes, margin, scale)
    found = loss.compute_loss(cosine, labels, None, cosine, labels)
    present = len(labels.unique())
    return found["pos_loss"]["losses"].sum() / max(present, 1) + found["neg_loss"]["losses"].sum() / classes


def curricularface(cosine: Tensor, target: Tensor, margin: float, scale: float) -> Tensor:
    """Algorithm 1 of Huang et al. with a momentum of zero, one sample after the other."""
    labels = target.argmax(1)
    rows = torch.arange(len(labels))
    own = cosine[rows, labels]
    progress = float(own.detach().mean())
    losses = []
    for k, (row, label) in enumerate(zip(cosine, labels.tolist(), strict=True)):
        angle = torch.acos(own[k])
        moved = torch.cos(angle + margin) if angle + margin <= math.pi else own[k] - margin * math.sin(margin)
        logits = [moved if j == label else c * (progress + c) if c > moved else c for j, c in enumerate(row.unbind(0))]
        losses.append(F.cross_entropy(scale * torch.stack(logits), torch.tensor(label)))
    return torch.stack(losses) if losses else cosine.sum(1)


def normalized_softmax(cosine: Tensor, target: Tensor, scale: float) -> Tensor:
    return F.cross_entropy(scale * cosine, target, reduction="none")


def _sides(boxes: Tensor) -> tuple[Tensor, Tensor]:
    return (boxes[:, 2] - boxes[:, 0]).clamp(min=0), (boxes[:, 3] - boxes[:, 1]).clamp(min=0)


def _ratio(part: Tensor, whole: Tensor) -> Tensor:
    """A quotient; zero where the whole has no extent."""
    return torch.where(whole > 0, part / torch.where(whole > 0, whole, 1.0), 0.0)


def _overlap(boxes: Tensor, target: Tensor) -> Tensor:
    inner = [
        (torch.minimum(boxes[:, k + 2], target[:, k + 2]) - torch.maximum(boxes[:, k], target[:, k])).clamp(min=0)
        for k in (0, 1)
    ]
    areas = [w * h for w, h in map(_sides, (boxes, target))]
    common = inner[0] * inner[1]
    return _ratio(common, areas[0] + areas[1] - common)


def _outer(boxes: Tensor, target: Tensor) -> list[Tensor]:
    return [torch.maximum(boxes[:, k + 2], target[:, k + 2]) - torch.minimum(boxes[:, k], target[:, k]) for k in (0, 1)]


def _centre_shift(boxes: Tensor, target: Tensor) -> Tensor:
    """Squared distance of centres."""
    return (((boxes[:, :2] + boxes[:, 2:]) - (target[:, :2] + target[:, 2:])) / 2).pow(2).sum(1)


def box_l1(boxes: Tensor, target: Tensor) -> Tensor:
    return F.l1_loss(boxes, target, reduction="none").sum(1)


def box_smooth_l1(boxes: Tensor, target: Tensor, beta: float) -> Tensor:
    return F.smooth_l1_loss(boxes, target, reduction="none", beta=beta).sum(1)


def iou(boxes: Tensor, target: Tensor, form: str = "linear") -> Tensor:
    overlap = _overlap(boxes, target)
    return 1 - overlap if form == "linear" else -overlap.clamp(min=1e-12).log()


def diou(boxes: Tensor, target: Tensor) -> Tensor:
    """Equations 6 and 7 of Zheng et al."""
    wide, high = _outer(boxes, target)
    return 1 - _overlap(boxes, target) + _ratio(_centre_shift(boxes, target), wide**2 + high**2)


def ciou(boxes: Tensor, target: Tensor) -> Tensor:
    """Equations 8 to 11 of Zheng et al., α held as in their code."""
    angles = [torch.atan2(w, h) for w, h in map(_sides, (target, boxes))]
    aspect = 4 / math.pi**2 * (angles[0] - angles[1]) ** 2
    overlap = _overlap(boxes, target)
    alpha = (aspect / (1 - overlap + aspect).clamp(min=1e-7)).detach()
    return diou(boxes, target) + alpha * aspect


def eiou(boxes: Tensor, target: Tensor) -> Tensor:
    """Equation 6 of Zhang et al."""
    sides = zip(_sides(boxes), _sides(target), _outer(boxes, target), strict=True)
    return diou(boxes, target) + sum(_ratio((a - b) ** 2, outer**2) for a, b, outer in sides)


def _wasserstein(boxes: Tensor, target: Tensor) -> Tensor:
    """Squared distance of the Gaussians N(centre, diag(w²/4, h²/4)): shift² + Σ (σ - σ')²."""
    spread = [torch.stack(_sides(b), 1) / 2 for b in (boxes, target)]
    return _centre_shift(boxes, target) + (spread[0] - spread[1]).pow(2).sum(1)


def gaussian_wasserstein(boxes: Tensor, target: Tensor, tau: float, form: str = "sqrt") -> Tensor:
    distance = _wasserstein(boxes, target)
    return 1 - 1 / (tau + (distance.sqrt() if form == "sqrt" else torch.log1p(distance)))


def normalized_wasserstein(boxes: Tensor, target: Tensor, constant: float) -> Tensor:
    return 1 - torch.exp(-_wasserstein(boxes, target).sqrt() / constant)


def style(features: Tensor, target: Tensor) -> Tensor:
    """Equations 3 and 4 of Gatys et al.: Gram matrices of N maps over M positions."""
    f, t = _maps(features), _maps(target)
    channels, positions = f.shape[1:]
    error = (f @ f.transpose(1, 2) - t @ t.transpose(1, 2)).pow(2).sum((1, 2))
    return error / (4 * channels**2 * positions**2)
