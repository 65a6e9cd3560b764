"""Survival: statsmodels' proportional hazards for Cox, PyTorch's Weibull and SciPy's log-logistic, pairs one by one."""

from __future__ import annotations

from typing import Any, cast

import numpy as np
import torch
from scipy.stats import fisk
from statsmodels.duration.hazard_regression import PHReg
from torch import Tensor

from ..harness import Case
from ..samples import Sample, Samples


def cox(log_risk: Tensor, time: Tensor, event: Tensor) -> Tensor:
    """Of each event the definition; the sum is held against statsmodels."""
    values = [torch.logsumexp(log_risk[time >= time[i]], 0) - log_risk[i] for i in range(len(time))]
    found = torch.stack(values) * event if values else log_risk.sum()[None][:0]
    if len(time) and event.sum() > 0 and set(event.tolist()) <= {0.0, 1.0}:
        risk = log_risk.detach().numpy()[:, None]
        known = cast(float, PHReg(time.numpy(), risk, status=event.numpy(), ties="breslow").loglike(np.ones(1)))
        torch.testing.assert_close(found.sum().item(), -known, rtol=1e-9, atol=1e-12)
    return found


def events(log_risk: Tensor, time: Tensor, event: Tensor, **_: float) -> Tensor:
    return event


def weibull(log_risk: Tensor, time: Tensor, event: Tensor, shape: float) -> Tensor:
    known = torch.distributions.Weibull(torch.exp(-log_risk), torch.full_like(time, shape), validate_args=False)
    hazard = (time * torch.exp(log_risk)) ** shape  # what log(1 - cdf) loses digits of
    torch.testing.assert_close(1 - torch.exp(-hazard), known.cdf(time), rtol=1e-9, atol=1e-12)
    return -(event * (known.log_prob(time) + time.log())) + (1 - event) * hazard


def log_logistic(log_risk: Tensor, time: Tensor, event: Tensor, scale: float) -> Tensor:
    """SciPy's value; its gradient from the definition, which SciPy lacks."""
    z = (time.log() + log_risk) / scale
    density, beyond = torch.sigmoid(z) * torch.sigmoid(-z) / scale, torch.sigmoid(-z)
    found = -event * density.log() - (1 - event) * beyond.log()
    known: Any = fisk(1.0 / scale, scale=np.exp(-log_risk.detach().numpy()))
    told = event.numpy() * (known.logpdf(time.numpy()) + np.log(time.numpy()))
    expected = -(told + (1 - event.numpy()) * known.logsf(time.numpy()))
    torch.testing.assert_close(found.detach(), torch.from_numpy(np.asarray(expected)), rtol=1e-9, atol=1e-12)
    return found


def _ranked(log_risk: Tensor, time: Tensor, event: Tensor, margin: float | None) -> tuple[Tensor, Tensor]:
    """Of each element the cost of its pairs, one by one, and their number."""
    values, counts = [], []
    for i in range(len(time)):
        later = [j for j in range(len(time)) if time[i] < time[j]]
        gaps = [log_risk[i] - log_risk[j] for j in later]
        costs = [torch.log(1 + torch.exp(-g)) if margin is None else torch.clamp(margin - g, min=0) for g in gaps]
        count = event[i] * len(later)
        values.append(event[i] * sum(costs, log_risk[i] * 0))
        counts.append(count)
    empty = log_risk.sum()[None][:0]
    return (torch.stack(values), torch.stack(counts)) if values else (empty, empty)


def survival_ranking(log_risk: Tensor, time: Tensor, event: Tensor) -> Tensor:
    return _ranked(log_risk, time, event, None)[0]


def survival_hinge(log_risk: Tensor, time: Tensor, event: Tensor, margin: float) -> Tensor:
    return _ranked(log_risk, time, event, margin)[0]


def pairs(log_risk: Tensor, time: Tensor, event: Tensor, **_: float) -> Tensor:
    return _ranked(log_risk, time, event, None)[1]


def censored_mae(log_risk: Tensor, time: Tensor, event: Tensor) -> Tensor:
    gap = -log_risk - time.log()
    return torch.where(event == 1, gap.abs(), torch.where(gap < 0, -gap, 0.0))


def censored_mse(log_risk: Tensor, time: Tensor, event: Tensor) -> Tensor:
    return censored_mae(log_risk, time, event) ** 2


def _sample(name: str, count: int, events: Tensor, ties: bool = False) -> Sample:
    generator = torch.Generator().manual_seed(count)
    risk = torch.randn(count, generator=generator, dtype=torch.float64)
    time = torch.rand(count, generator=generator, dtype=torch.float64) * 3 + 0.05
    return Sample(name, (risk, time.round() + 1 if ties else time, events.double()))


def times() -> list[Sample]:
    return [
        _sample("mixed", 7, torch.tensor([1, 0, 1, 1, 0, 0, 1])),
        _sample("ties", 6, torch.tensor([1, 1, 0, 1, 0, 1]), ties=True),
        _sample("all seen", 5, torch.ones(5)),
        _sample("none seen", 4, torch.zeros(4)),
        _sample("one", 1, torch.ones(1)),
    ]


def extreme_times() -> list[Sample]:
    found = []
    for name, level in {"high": 1e4, "low": -1e4, "zero": 0.0}.items():
        for length, time in {"short": 1e-6, "long": 1e4}.items():
            for event in (0.0, 1.0):
                spread = torch.tensor([1.0, 0.5, 1.0], dtype=torch.float64)
                found.append(
                    Sample(
                        f"{name}, {length}, {event}", (level * spread, time * spread.clamp(min=1.0), 0 * spread + event)
                    )
                )
    return found


def _none() -> Tensor:
    return torch.zeros(0, dtype=torch.float64)


CASES = [
    Case("cox", cox, weight=events),
    *(Case("weibull", weibull, {"shape": shape}) for shape in (1.0, 0.5, 2.0)),
    *(Case("log_logistic", log_logistic, {"scale": scale}) for scale in (1.0, 0.5)),
    Case("survival_ranking", survival_ranking, weight=pairs),
    *(Case("survival_hinge", survival_hinge, {"margin": m}, weight=pairs, twice=False) for m in (1.0, 0.3)),
    Case("censored_mae", censored_mae, twice=False),
    Case("censored_mse", censored_mse),
]

ORDINARY: dict[str, Samples] = {"survival": times}
EMPTY: dict[str, Samples] = {"survival": lambda: [Sample("empty", (_none(), _none(), _none()))]}
EXTREME: dict[str, Samples] = {"survival": extreme_times}
