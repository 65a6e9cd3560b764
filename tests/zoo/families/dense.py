"""Dense: PyTorch's and Kornia's binary losses, Kornia's Lovász losses, MONAI's overlaps, else the paper's formula."""

from __future__ import annotations

import math
from functools import partial
from typing import Any

import torch
import torch.nn.functional as F
from kornia.losses import binary_focal_loss_with_logits, lovasz_hinge_loss, lovasz_softmax_loss
from monai.losses.dice import DiceCELoss, DiceLoss
from monai.losses.tversky import TverskyLoss
from torch import Tensor

from .. import oracles, samples
from ..harness import Case
from ..samples import Sample, Samples


def binary_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    return F.binary_cross_entropy_with_logits(logits, target, reduction="none")


def binary_focal(
    logits: Tensor, target: Tensor, gamma: float, alpha: float | None = None, balanced: bool = True
) -> Tensor:
    """Kornia without α; with it, equation 5 of Lin et al. for each label, averaged over the target."""
    if not balanced:
        return binary_focal_loss_with_logits(logits, target, alpha=None, gamma=gamma, reduction="none")
    assert alpha is not None
    p = torch.sigmoid(logits)
    present = -alpha * (1 - p) ** gamma * F.logsigmoid(logits)
    absent = -(1 - alpha) * p**gamma * F.logsigmoid(-logits)
    return target * present + (1 - target) * absent


def binary_hinge(logits: Tensor, target: Tensor, margin: float) -> Tensor:
    signed = logits * (2 * target - 1)
    return F.hinge_embedding_loss(signed, -torch.ones_like(signed), margin=margin, reduction="none")


def logistic(logits: Tensor, target: Tensor) -> Tensor:
    return F.soft_margin_loss(logits, 2 * target - 1, reduction="none")


def kl_divergence(logits: Tensor, target: Tensor) -> Tensor:
    return F.kl_div(F.log_softmax(logits, 1), target, reduction="none").sum(1)


def focal_tversky(
    logits: Tensor, target: Tensor, alpha: float, beta: float, gamma: float, smooth: float, per: str = "batch"
) -> Tensor:
    """Equation 4 of Abraham and Khan over MONAI's Tversky loss."""
    return oracles.tversky(logits, target, alpha, beta, smooth, per) ** (1 / gamma)


def cross_entropy_dice(
    logits: Tensor,
    target: Tensor,
    smooth: float,
    ce_weight: float = 1.0,
    dice_weight: float = 1.0,
    per: str = "batch",
    squared: bool = False,
    background: bool = True,
) -> Tensor:
    loss = DiceCELoss(
        include_background=background,
        softmax=True,
        squared_pred=squared,
        batch=per == "batch",
        smooth_nr=smooth,
        smooth_dr=smooth,
        lambda_dice=dice_weight,
        lambda_ce=ce_weight,
    )
    return loss(_maps(logits), _maps(target))


def cross_entropy_dice_of_kept(
    logits: Tensor, target: Tensor, kept: Tensor, ce_weight: float, **arguments: Any
) -> Tensor:
    """Cross-entropy over the kept elements, and Dice over those of each image."""
    elements = ce_weight * F.cross_entropy(logits.movedim(1, -1)[kept], target.movedim(1, -1)[kept])
    images = [(x[:, k][None], t[:, k][None]) for x, t, k in zip(logits, target, kept, strict=True) if k.any()]
    return elements + torch.stack([cross_entropy_dice(*i, ce_weight=0.0, **arguments) for i in images]).mean()


def boundary(logits: Tensor, distance: Tensor, background: bool = False) -> Tensor:
    """Equation 5 of Kervadec et al. for each class, before the sum over the image."""
    loss = torch.softmax(logits, 1) * distance
    return loss if background else loss * _foreground(logits)


def boundary_weighted_cross_entropy(
    logits: Tensor, target: Tensor, distance: Tensor, w0: float, sigma: float
) -> Tensor:
    """Equations 1 and 2 of Ronneberger et al. with a class weight of one."""
    weight = 1 + w0 * torch.exp(-(distance**2) / (2 * sigma**2))
    return weight * F.cross_entropy(logits, target, reduction="none")


def lovasz_softmax(logits: Tensor, target: Tensor, per: str = "batch", classes: str = "present") -> Tensor:
    """Equation 11 of Berman et al. with the errors of equation 10; for labels the mean of all is Kornia's per image."""
    p = torch.softmax(logits, 1)
    regions, truth = _regions(p, target, per)
    value = _lovasz_extension((regions - truth).abs(), truth).reshape(_shape(logits, per))
    if per == "image" and bool(((target == 0) | (target == 1)).all()):
        images = lovasz_softmax_loss(_maps(logits)[..., None], _maps(target).argmax(1)[..., None])
        torch.testing.assert_close(value.detach().mean(), images.detach(), rtol=1e-9, atol=1e-12)
    return value if classes == "all" else value * share_of_present(logits, target, per)


def share_of_present(logits: Tensor, target: Tensor, per: str = "batch") -> Tensor:
    """One for each class that the batch has, or one over their number for each that an image has."""
    present = (_regions(logits, target, per)[1].sum(-1) > 0).double().reshape(_shape(logits, per))
    return present if per == "batch" else present / present.sum(-1, keepdim=True)


def lovasz_hinge(logits: Tensor, target: Tensor, per: str = "image") -> Tensor:
    """Kornia, one image and class at a time; for soft targets, which its labels exclude, equations 9 and 11."""
    x, t = _regions(logits, target, per)
    if bool(((t == 0) | (t == 1)).all()):
        pairs = zip(x.flatten(0, -2), t.flatten(0, -2), strict=True)
        values = [lovasz_hinge_loss(a[None, None, :, None], b[None, :, None]) for a, b in pairs]
        return torch.stack(values).reshape(_shape(logits, per))
    return _lovasz_extension((1 - x * (2 * t - 1)).clamp(min=0), t).reshape(_shape(logits, per))


def _lovasz_extension(errors: Tensor, target: Tensor) -> Tensor:
    """Σ m_π(k) (Δ({π1 … πk}) - Δ({π1 … πk-1})), each Δ counted by itself from its definition."""
    worst_first, order = errors.sort(-1, descending=True)
    truth = target.gather(-1, order)
    previous, total = torch.zeros_like(truth[..., 0]), torch.zeros_like(truth[..., 0])
    for k in range(1, truth.shape[-1] + 1):
        # With the k worst elements wrong: what of the truth is still found, over truth and false positives.
        found, false = truth[..., k:].sum(-1), (1 - truth[..., :k]).sum(-1)
        loss = 1 - found / (truth.sum(-1) + false)
        total, previous = total + worst_first[..., k - 1] * (loss - previous), loss
    return total


def foreground_overlap(loss: type[Any], **options: Any) -> Any:
    """MONAI's overlap loss of the foreground classes, behind a zero for the background."""

    def oracle(
        logits: Tensor, target: Tensor, smooth: float, per: str, background: bool, gamma: float = 1.0, **given: float
    ) -> Tensor:
        assert not background
        factor = 2 if options.get("jaccard") else 1  # MONAI doubles numerator and denominator of this one
        made = loss(
            include_background=False,
            softmax=True,
            batch=per == "batch",
            reduction="none",
            smooth_nr=factor * smooth,
            smooth_dr=factor * smooth,
            **given,
            **options,
        )
        found = made(_maps(logits), _maps(target)).reshape(*_shape(logits, per)[:-1], logits.shape[1] - 1)
        found = found ** (1 / gamma)
        return torch.cat([torch.zeros_like(found[..., :1]), found], -1)

    return oracle


def foreground_weight(logits: Tensor, target: Tensor) -> Tensor:
    return _foreground(logits).flatten()


def _foreground(logits: Tensor) -> Tensor:
    """Zero for class 0, one for others, [1, class, *1]."""
    weight = torch.ones(1, logits.shape[1], *[1] * (logits.dim() - 2), dtype=logits.dtype)
    weight[:, 0] = 0
    return weight


def _maps(x: Tensor) -> Tensor:
    """[batch, class, *space] as [batch, class, position]."""
    return x.reshape(*x.shape[:2], math.prod(x.shape[2:]))


def _regions(logits: Tensor, target: Tensor, per: str) -> tuple[Tensor, Tensor]:
    """What one overlap is of as the last axis: positions of an image, or of the whole batch."""
    if per == "image":
        return _maps(logits), _maps(target)
    return logits.transpose(0, 1).flatten(1), target.transpose(0, 1).flatten(1)


def _shape(logits: Tensor, per: str) -> tuple[int, ...]:
    return (logits.shape[1],) if per == "batch" else (logits.shape[0], logits.shape[1])


def top_k_cross_entropy(logits: Tensor, target: Tensor, share: float) -> Tensor:
    """As nnU-Net's TopKLoss, with the number of elements rounded up."""
    losses = F.cross_entropy(logits, target, reduction="none").flatten()
    count = math.ceil(share * len(losses) - 1e-9)
    return torch.topk(losses, count).values.mean() if count else losses.sum()


def _numbers(*shape: int, seed: int) -> Tensor:
    return 3.0 * torch.randn(shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def boundary_maps() -> list[Sample]:
    return [
        Sample(name, (_numbers(*shape, seed=1), _numbers(*shape, seed=2)))
        for name, shape in samples.DENSE_SHAPES.items()
    ]


def extreme_boundary_maps() -> list[Sample]:
    levels = {"far inside": -1e4, "far outside": 1e4, "on it": 0.0}
    return [
        Sample(f"{s.name}, {name}", (s.prediction, level * torch.ones_like(s.prediction)))
        for s in samples.extreme_dense()
        for name, level in levels.items()
    ]


def _with_distance(sample: Sample, distance: float | None = None) -> Sample:
    """A dense sample with distances from zero to some multiples of σ, or all the same."""
    shape = (len(sample.prediction), *sample.prediction.shape[2:])
    away = 3.0 * _numbers(*shape, seed=3).abs() if distance is None else torch.full(shape, distance).double()
    return Sample(sample.name, (*sample.inputs, away), sample.labels)


def extreme_boundary_distances() -> list[Sample]:
    return [_with_distance(s, distance) for s in samples.extreme_dense() for distance in (0.0, 1e-30, 1e4)]


PER = ("batch", "image")
_TVERSKY: dict[str, Any] = {"alpha": 0.3, "beta": 0.7, "smooth": 1e-2}
_FOREGROUND: list[tuple[str, Any, dict[str, Any], str]] = [
    ("dice", foreground_overlap(DiceLoss, squared_pred=True), {"smooth": 1e-2}, "batch"),
    ("jaccard", foreground_overlap(DiceLoss, jaccard=True), {"smooth": 1e-2}, "image"),
    ("tversky", foreground_overlap(TverskyLoss), _TVERSKY, "batch"),
    ("focal_tversky", foreground_overlap(TverskyLoss), {**_TVERSKY, "gamma": 2.0}, "image"),
]

CASES = [
    Case("binary_cross_entropy", binary_cross_entropy),
    Case("binary_focal", binary_focal, {"gamma": 2.0, "alpha": 0.25}),
    *(Case("binary_focal", binary_focal, {"gamma": gamma, "balanced": False}) for gamma in (0.0, 0.7)),
    Case("binary_hinge", binary_hinge, {"margin": 0.3}, twice=False),
    Case("logistic", logistic),
    Case("kl_divergence", kl_divergence),
    Case("focal_tversky", focal_tversky, {**_TVERSKY, "gamma": 4 / 3}),
    Case("focal_tversky", focal_tversky, {"alpha": 1.0, "beta": 0.2, "smooth": 1.0, "gamma": 2.0, "per": "image"}),
    Case("cross_entropy_dice", cross_entropy_dice, {"smooth": 1e-2}),
    Case("cross_entropy_dice", cross_entropy_dice, {"smooth": 1e-2, "background": False, "squared": True}),
    Case(
        "cross_entropy_dice",
        cross_entropy_dice,
        {"smooth": 1.0, "ce_weight": 0.3, "dice_weight": 2.0, "per": "image"},
        of_kept=cross_entropy_dice_of_kept,
    ),
    *(
        Case(name, oracle, {**given, "background": False, "per": per}, weight=foreground_weight)
        for name, oracle, given, per in _FOREGROUND
    ),
    *(Case("lovasz_softmax", lovasz_softmax, {"per": per, "classes": "all"}, twice=False) for per in PER),
    *(
        Case("lovasz_softmax", lovasz_softmax, {"per": per}, twice=False, weight=partial(share_of_present, per=per))
        for per in PER
    ),
    *(Case("lovasz_hinge", lovasz_hinge, {"per": per}, twice=False) for per in PER),
    *(Case("top_k_cross_entropy", top_k_cross_entropy, {"share": share}) for share in (0.1, 0.45)),
    Case("boundary", boundary, weight=lambda logits, distance: _foreground(logits)),
    Case("boundary", boundary, {"background": True}),
    Case("boundary_weighted_cross_entropy", boundary_weighted_cross_entropy, {"w0": 10.0, "sigma": 5.0}),
]

ORDINARY: dict[str, Samples] = {
    "boundary_map": boundary_maps,
    "boundary_distance": lambda: [_with_distance(s) for s in samples.dense()],
}
EMPTY: dict[str, Samples] = {
    "boundary_map": lambda: [Sample(s.name, (s.prediction, s.prediction.clone())) for s in samples.empty_dense()],
    "boundary_distance": lambda: [_with_distance(s) for s in samples.empty_dense()],
}
EXTREME: dict[str, Samples] = {
    "boundary_map": extreme_boundary_maps,
    "boundary_distance": extreme_boundary_distances,
}
