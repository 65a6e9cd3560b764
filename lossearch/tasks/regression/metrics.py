"""Metrics of predicted numbers of one run or many: `(prediction[..., sample], target[..., sample]) -> [...]`."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import Tensor

from lossearch.tasks.base import Metric


@dataclass(frozen=True)
class NumberMetric(Metric):
    """A metric of predicted numbers. Calling it gives one value per run.

    Attributes:
        function: `(prediction[..., sample], *known[..., sample]) -> [...]`; known are the target, or time and event.
    """

    function: Callable[..., Tensor] = field(kw_only=True)

    def __call__(self, prediction: Tensor, *known: Tensor) -> Tensor:
        return self.function(prediction, *known)


def mean_absolute_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of |prediction - target|, in [0, ∞)."""
    return (prediction - target).abs().mean(-1)


def root_mean_square_error(prediction: Tensor, target: Tensor) -> Tensor:
    """Root of the mean squared error, in [0, ∞)."""
    return (prediction - target).square().mean(-1).sqrt()


def coefficient_of_determination(prediction: Tensor, target: Tensor) -> Tensor:
    """1 - squared error / squared deviation from the mean of the targets, in (-∞, 1].

    0 for equal targets that are predicted wrongly, where it is not defined.
    """
    error = (prediction - target).square().sum(-1)
    spread = (target - target.mean(-1, keepdim=True)).square().sum(-1)
    return torch.where(spread > 0.0, 1.0 - error / spread, (error == 0.0).to(error.dtype))


def poisson_deviance(prediction: Tensor, target: Tensor) -> Tensor:
    """Mean of 2·(y·log(y/μ) - y + μ) of counts y ≥ 0 and their predicted means μ > 0, in [0, ∞).

    Twice the log-likelihood that is missing to a model which knows every count (Nelder and Wedderburn 1972). Like the
    squared error it is least, on average, where the mean is predicted; unlike it, an error of one visit in one weighs
    more than of one in fifty.
    """
    return 2.0 * (torch.xlogy(target, target / prediction) - target + prediction).mean(-1)


def concordance(log_risk: Tensor, time: Tensor, event: Tensor) -> Tensor:
    """Share of the pairs, of which one is known to have had the event first, whose risks say so, in [0, 1].

    Equal risks count half; 0.5 where there is no such pair (Harrell et al. 1982).
    """
    return _said_first(log_risk, time, event > 0.5, lambda first, other: first < other)


def median_auc(log_risk: Tensor, time: Tensor, event: Tensor) -> Tensor:
    """Area under the ROC curve for who has had the event by the median time of events, in [0, 1].

    Whoever is censored before that is left out (cumulative/dynamic AUC of Heagerty et al. 2000); 0.5 where all or none
    have had it.
    """
    had = event > 0.5
    middle = torch.where(had, time, torch.nan).nanmedian(-1, keepdim=True).values
    return _said_first(log_risk, time, had & (time <= middle), lambda _, other: other > middle.unsqueeze(-1))


_AT_ONCE = 256
"""Samples whose pairs with all others are looked at together, for the sake of memory."""


def _said_first(log_risk: Tensor, time: Tensor, first: Tensor, before: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Share of pairs (i, j) with `first[i]` and `before(time[i], time[j])` whose risks are in the same order."""
    right = pairs = torch.zeros(log_risk.shape[:-1], dtype=torch.float64, device=log_risk.device)
    for part in torch.arange(log_risk.shape[-1], device=log_risk.device).split(_AT_ONCE):
        own, others = log_risk[..., part].unsqueeze(-1), log_risk.unsqueeze(-2)
        counted = first[..., part].unsqueeze(-1) & before(time[..., part].unsqueeze(-1), time.unsqueeze(-2))
        said = (own > others).double() + 0.5 * (own == others).double()
        right = right + (said * counted).sum((-2, -1))
        pairs = pairs + counted.sum((-2, -1))
    return torch.where(pairs > 0, right / pairs.clamp_min(1), 0.5).to(log_risk.dtype)


METRICS = {
    metric.name: metric
    for metric in (
        NumberMetric("mae", False, 0.0, description="mean absolute error", function=mean_absolute_error),
        NumberMetric("rmse", False, 0.0, description="root mean square error", function=root_mean_square_error),
        NumberMetric(
            "r2",
            True,
            upper=1.0,
            description="coefficient of determination",
            function=coefficient_of_determination,
        ),
        NumberMetric(
            "poisson_deviance",
            False,
            0.0,
            description="mean Poisson deviance of predicted means of counts",
            function=poisson_deviance,
        ),
        NumberMetric(
            "concordance",
            True,
            0.0,
            1.0,
            description="share of pairs in the right order of their events",
            function=concordance,
        ),
        NumberMetric(
            "median_auc",
            True,
            0.0,
            1.0,
            description="area under the ROC curve for events by their median time",
            function=median_auc,
        ),
    )
}
"""By name."""
