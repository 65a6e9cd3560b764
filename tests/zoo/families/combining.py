"""Combinations of component losses: the papers' sums, one likelihood after another."""

from __future__ import annotations

import math
from collections.abc import Mapping

import torch
from torch import Tensor
from torch.distributions import Normal

from ..harness import Case
from ..samples import Sample, Samples


def weighted_sum(losses: Tensor, weights: Tensor) -> Tensor:
    return torch.stack([weight * loss for weight, loss in zip(weights, losses, strict=True)]).sum()


def uncertainty_weighting(losses: Tensor, log_variance: Tensor, factor: Tensor) -> Tensor:
    """Section 3.2 of Kendall et al., component by component.

    A squared error L of a Gaussian costs -log p less log √(2π), a cross-entropy L/σ² + log σ.
    """
    terms = []
    for loss, log_square, f in zip(losses, log_variance, factor, strict=True):
        sigma = (log_square / 2).exp()
        if f == 0.5 and loss >= 0:
            unit = Normal(torch.zeros_like(sigma), torch.ones_like(sigma)).log_prob(torch.zeros_like(sigma))
            terms.append(unit - Normal(torch.zeros_like(sigma), sigma).log_prob(loss.sqrt()))
        else:
            terms.append(f * loss / sigma**2 + sigma.log())
    return torch.stack(terms).sum() if terms else losses.sum()


def dynamic_weight_average(losses: Tensor, last: Tensor, before: Tensor, temperature: float) -> Tensor:
    """Equation 7 of Liu et al."""
    exponentials = [math.exp(new / old / temperature) for new, old in zip(last.tolist(), before.tolist(), strict=True)]
    shares = [len(exponentials) * one / sum(exponentials) for one in exponentials]
    return torch.stack([share * loss for share, loss in zip(shares, losses, strict=True)]).sum()


def gradnorm(weights: Tensor, norms: Tensor, rates: Tensor, alpha: float) -> Tensor:
    """Equation 2 of Chen et al."""
    goal = [(weights * norms).detach().mean() * rate**alpha for rate in rates]
    return torch.stack([(w * n - g).abs() for w, n, g in zip(weights, norms, goal, strict=True)]).sum()


def _numbers(*values: float) -> Tensor:
    return torch.tensor(values, dtype=torch.float64)


VALUES = {
    "three": ((0.7, 12.0, 0.01), (1.0, 0.1, 25.0)),
    "one element": ((2.5,), (0.5,)),
    "negative": ((-1.5, 0.3), (1.0, 2.0)),
}
EXTREMES = {"high": (1e4, 1e4), "low": (-1e4, 1e4), "zero": (0.0, 0.0), "tiny": (1e-30, -1e-30)}


def weighted() -> list[Sample]:
    return [
        Sample(name, (_numbers(*losses),), buffers={"weights": _numbers(*weights)})
        for name, (losses, weights) in VALUES.items()
    ]


def uncertain() -> list[Sample]:
    return [Sample(name, (_numbers(*losses),), buffers=_scales(len(losses))) for name, (losses, _) in VALUES.items()]


def _scales(count: int) -> dict[str, Tensor]:
    return {"log_variance": _numbers(0.4, -1.3, 2.0)[:count], "factor": _numbers(0.5, 1.0, 1.0)[:count]}


def _extreme(name: str, *ends: float) -> list[Sample]:
    other = {"factor": _numbers(0.5, 1.0)} if name == "log_variance" else {}
    return [
        Sample(f"{level}, {end}", (_numbers(*losses),), buffers={name: _numbers(end, -end), **other})
        for level, losses in EXTREMES.items()
        for end in ends
    ]


COURSES = {
    "three": ((0.7, 12.0, 0.01), (0.6, 9.0, 0.02), (0.9, 9.5, 0.01)),
    "one element": ((2.5,), (0.5,), (3.0,)),
    "steady": ((1.0, 2.0), (1.0, 2.0), (1.0, 2.0)),
}


def _triples(rows: Mapping[str, tuple[tuple[float, ...], ...]]) -> list[Sample]:
    return [Sample(name, tuple(_numbers(*row) for row in row_of_three)) for name, row_of_three in rows.items()]


def averaged() -> list[Sample]:
    return _triples(COURSES)


def judged() -> list[Sample]:
    return _triples(
        {"three": ((1.0, 0.5, 1.5), (0.1, 4.0, 0.7), (1.2, 0.3, 1.5)), "one element": ((1.0,), (2.0,), (1.5,))}
    )


CASES = [
    Case("weighted_sum", weighted_sum, twice=False),
    Case("uncertainty_weighting", uncertainty_weighting, twice=False),
    *(Case("dynamic_weight_average", dynamic_weight_average, {"temperature": t}, twice=False) for t in (2.0, 0.1)),
    *(Case("gradnorm", gradnorm, {"alpha": alpha}, twice=False) for alpha in (1.5, 0.0)),
]

ORDINARY: dict[str, Samples] = {
    "weighted_components": weighted,
    "uncertain_components": uncertain,
    "averaged_components": averaged,
    "weights_of_components": judged,
}
EMPTY: dict[str, Samples] = {
    "weighted_components": lambda: [Sample("none", (_numbers(),), buffers={"weights": _numbers()})],
    "uncertain_components": lambda: [Sample("none", (_numbers(),), buffers=_scales(0))],
    "averaged_components": lambda: _triples({"none": ((), (), ())}),
    "weights_of_components": lambda: _triples({"none": ((), (), ())}),
}
EXTREME: dict[str, Samples] = {
    "weighted_components": lambda: _extreme("weights", 1e4, 0.0),
    "uncertain_components": lambda: _extreme("log_variance", 30.0, 0.0),
    "averaged_components": lambda: _triples(
        {
            "rising": ((1e4, -1e4), (1e4, 0.0), (0.0, 1e4)),
            "falling": ((0.0, 0.0), (0.0, 0.0), (1e4, 1e4)),
            "nothing": ((1e4, 1e4), (0.0, 0.0), (0.0, 0.0)),
        }
    ),
    "weights_of_components": lambda: _triples(
        {
            "largest": ((1e4, 1e4), (1e4, 1e4), (1e4, 0.0)),
            "nothing": ((0.0, 0.0), (0.0, 0.0), (0.0, 0.0)),
        }
    ),
}
