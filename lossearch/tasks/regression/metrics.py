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
        function: `(prediction[..., sample], target[..., sample]) -> [...]`.
    """

    function: Callable[[Tensor, Tensor], Tensor] = field(kw_only=True)

    def __call__(self, prediction: Tensor, target: Tensor) -> Tensor:
        return self.function(prediction, target)


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
    )
}
"""By name."""
