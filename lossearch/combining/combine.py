"""The methods that combine several losses into one, by name."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any

from torch import nn

from lossearch import zoo
from lossearch.combining.balancing import DynamicWeightAverage, GradNorm
from lossearch.combining.combined import CombinedLoss, GraphCombination, Numbers, by_name, numbers_by_name
from lossearch.errors import UserError

Components = Mapping[str, nn.Module | None]

FACTORS = {"regression": 0.5, "classification": 1.0}
"""What a likelihood puts before L/σ²: a Gaussian's squared error one half, a softmax's cross-entropy one."""


def weighted_sum(components: Components, weights: Numbers | None = None) -> CombinedLoss:
    """Σ w_i L_i with fixed weights, 1 where none is given."""
    buffers = {"weights": numbers_by_name(components, weights, 1.0, "weights")}
    return GraphCombination(components, zoo.get("weighted_sum").to_module(reduction="sum", buffers=buffers))


def uncertainty_weighting(
    components: Components,
    log_variance: Numbers | None = None,
    kinds: Mapping[str, str] | Sequence[str] | None = None,
) -> CombinedLoss:
    """Σ f_i L_i e^(-s_i) + s_i/2 with learned log-variances s (Kendall et al. 2018)."""
    named = by_name(components, kinds, "kinds")
    for kind in named.values():
        if kind not in FACTORS:
            raise UserError(f"a kind among {', '.join(FACTORS)}", repr(kind), "correct `kinds`")
    factors = {name: FACTORS[kind] for name, kind in named.items()}
    buffers = {
        "log_variance": numbers_by_name(components, log_variance, 0.0, "log_variance"),
        "factor": numbers_by_name(components, factors, FACTORS["regression"], "kinds"),
    }
    return GraphCombination(components, zoo.get("uncertainty_weighting").to_module(reduction="sum", buffers=buffers))


def gradnorm(components: Components, alpha: float = 1.5, learning_rate: float = 0.025) -> CombinedLoss:
    """Weights that bring the components' gradients to a common scale (Chen et al. 2018)."""
    return GradNorm(components, zoo.get("gradnorm", alpha=alpha).to_module(reduction="sum"), learning_rate)


def dynamic_weight_average(components: Components, temperature: float = 2.0) -> CombinedLoss:
    """Larger weights for losses that fall more slowly (Liu et al. 2019)."""
    loss = zoo.get("dynamic_weight_average", temperature=temperature)
    return DynamicWeightAverage(components, loss.to_module(reduction="sum"))


METHODS: dict[str, Callable[..., CombinedLoss]] = {
    "weighted_sum": weighted_sum,
    "uncertainty_weighting": uncertainty_weighting,
    "gradnorm": gradnorm,
    "dynamic_weight_average": dynamic_weight_average,
}
"""Every method by name: from components and its options to the module."""

OPTIONS = {
    "weighted_sum": ("weights",),
    "uncertainty_weighting": ("log_variance", "kinds"),
    "gradnorm": ("alpha", "learning_rate"),
    "dynamic_weight_average": ("temperature",),
}
"""What each method takes beside the components."""


def combination(components: Components, method: str, **options: Any) -> CombinedLoss:
    """The components combined by a method; raises `UserError` for an unknown method or option."""
    if method not in METHODS:
        raise UserError(f"a method among {', '.join(METHODS)}", repr(method), "correct `method`")
    if unknown := sorted(options.keys() - set(OPTIONS[method])):
        raise UserError(f"options of {method}: {', '.join(OPTIONS[method])}", ", ".join(unknown), "correct the option")
    return METHODS[method](components, **options)
