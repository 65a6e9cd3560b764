"""Views and attention maps: torch.nn.functional and torch.corrcoef put together as the papers write."""

from __future__ import annotations

from dataclasses import replace

import torch
import torch.nn.functional as F
from torch import Tensor

from ..harness import Case
from ..samples import Sample, Samples
from .embedding import _all_with, _empty, _normal, _several

MAPS = {"0-D": (3,), "1-D": (3, 5), "one element": (1, 4), "2-D": (2, 3, 4), "3-D": (2, 2, 3, 2)}


def clip(first: Tensor, second: Tensor, temperature: float) -> Tensor:
    """The pseudo-code of Radford et al., figure 3, before its mean."""
    logits = F.cosine_similarity(first[:, None], second[None], dim=2) / temperature
    own = torch.arange(len(first))
    return (F.cross_entropy(logits, own, reduction="none") + F.cross_entropy(logits.T, own, reduction="none")) / 2


def byol(first: Tensor, second: Tensor, first_target: Tensor, second_target: Tensor) -> Tensor:
    return 4 - 2 * (F.cosine_similarity(first, second_target) + F.cosine_similarity(second, first_target))


def simsiam(first: Tensor, second: Tensor, first_target: Tensor, second_target: Tensor) -> Tensor:
    return -F.cosine_similarity(first, second_target) / 2 - F.cosine_similarity(second, first_target) / 2


def dino(
    first: Tensor,
    second: Tensor,
    first_target: Tensor,
    second_target: Tensor,
    temperature: float,
    target_temperature: float,
) -> Tensor:
    """Algorithm 1 of Caron et al. with the centre that a momentum of zero gives for this batch."""
    centre = torch.cat([first_target, second_target]).mean(0)
    one, other = (torch.softmax((t - centre) / target_temperature, 1) for t in (first_target, second_target))
    crossed = ((first, other), (second, one))
    return sum(F.cross_entropy(s / temperature, t, reduction="none") for s, t in crossed) / torch.tensor(2.0)


def barlow_twins(first: Tensor, second: Tensor, redundancy: float) -> Tensor:
    """Equation 1 of Zbontar et al.; constant features, for which torch has nan, correlate with nothing."""
    size = first.shape[1]
    correlation = torch.zeros(size, size, dtype=first.dtype) * (first + second).sum()
    if len(first) > 1 and not (first == first[0]).all():
        correlation = torch.corrcoef(torch.cat([first, second], 1).T)[:size, size:]
    diagonal = torch.diagonal(correlation)
    return ((1 - diagonal) ** 2).sum() + redundancy * ((correlation**2).sum() - (diagonal**2).sum())


def siglip(first: Tensor, second: Tensor, scale: float, bias: float) -> Tensor:
    """Algorithm 1 of Zhai et al., before its sum over one side."""
    logits = scale * F.cosine_similarity(first[:, None], second[None], dim=2) + bias
    signs = 2 * torch.eye(len(first), dtype=first.dtype) - 1
    return -F.logsigmoid(signs * logits).sum(1)


def vicreg(first: Tensor, second: Tensor, invariance: float, variance: float, covariance: float) -> Tensor:
    """Algorithm 1 of Bardes et al.; a single sample varies with nothing."""
    total = invariance * F.mse_loss(first, second)
    for x in (first, second):
        size = x.shape[1]
        moments = torch.cov(x.T).reshape(size, size) if len(x) > 1 else torch.zeros(size, size).double() * x.sum()
        deviation = (torch.diagonal(moments) + 1e-4).sqrt()
        total = total + variance * torch.relu(1 - deviation).mean()
        total = total + covariance * (moments - torch.diag(torch.diagonal(moments))).square().sum() / size
    return total


def attention_target(attention: Tensor, target: Tensor, distance: str = "squared") -> Tensor:
    """Equation 2 of Zagoruyko and Komodakis without its factor β/2, or PyTorch's divergence."""
    a, t = attention.reshape(len(attention), -1), target.reshape(len(target), -1)
    if distance == "kl":
        given, wanted = torch.log_softmax(a, 1), torch.log_softmax(t, 1)
        return F.kl_div(given, wanted, reduction="none", log_target=True).sum(1)
    norm = torch.linalg.vector_norm(F.normalize(a, dim=1) - F.normalize(t, dim=1), dim=1)
    return norm if distance == "norm" else norm**2


def views() -> list[Sample]:
    """One element has no spread; its gradient is zero, and no second derivative exists."""
    return [replace(s, differentiable=s.differentiable and s.name != "one element") for s in _several(2)]


def maps() -> list[Sample]:
    samples = [
        Sample(name, (_normal(*shape, seed=1), _normal(*shape, seed=2)), differentiable=name != "0-D")
        for name, shape in MAPS.items()
    ]
    same = _normal(2, 3, seed=3)
    return [*samples, Sample("equal", (same, same.clone()), differentiable=False)]


def extreme_maps() -> list[Sample]:
    generator = torch.Generator().manual_seed(4)
    signs = torch.randn(2, 3, 4, generator=generator, dtype=torch.float64).sign()
    levels = {"high": 1e4, "low": -1e4, "zero": 0.0, "tiny": 1e-30}
    found = {name: level * torch.ones_like(signs) for name, level in levels.items()} | {"signs": 1e4 * signs}
    return [Sample(f"{a}, {b}", (x, y)) for a, x in found.items() for b, y in found.items()]


def _empty_maps(*shape: int) -> Sample:
    return Sample(f"{shape}", (torch.zeros(shape, dtype=torch.float64), torch.zeros(shape, dtype=torch.float64)))


CASES = [
    *(Case("clip", clip, {"temperature": t}) for t in (0.07, 1.0)),
    Case("byol", byol),
    Case("simsiam", simsiam),
    *(Case("dino", dino, {"temperature": s, "target_temperature": t}) for s, t in ((0.1, 0.04), (1.0, 0.5))),
    *(Case("barlow_twins", barlow_twins, {"redundancy": r}) for r in (0.005, 1.0)),
    *(Case("siglip", siglip, {"scale": s, "bias": b}) for s, b in ((10.0, -10.0), (2.0, 1.0))),
    Case("vicreg", vicreg, {"invariance": 25.0, "variance": 25.0, "covariance": 1.0}),
    *(Case("attention_target", attention_target, {"distance": d}) for d in ("squared", "norm", "kl")),
]

ORDINARY: dict[str, Samples] = {
    "views": views,
    "predicted_views": lambda: [s for s in _several(4) if s.name != "collapsed"],
    "attention": maps,
}
EMPTY: dict[str, Samples] = {
    "views": lambda: [Sample("empty", _empty(2))],
    "predicted_views": lambda: [Sample("empty", _empty(4))],
    "attention": lambda: [_empty_maps(0), _empty_maps(0, 3), _empty_maps(2, 0)],
}
EXTREME: dict[str, Samples] = {
    "views": lambda: _all_with(2),
    "predicted_views": lambda: _all_with(4),
    "attention": extreme_maps,
}
