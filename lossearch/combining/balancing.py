"""Combinations whose weights follow the course of training: GradNorm and dynamic weight average."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

import torch
from torch import Tensor, nn
from torch._functorch import config as functorch_config

from lossearch.combining.combined import CombinedLoss, slopes
from lossearch.compile.module import LossModule
from lossearch.errors import UserError

SMALLEST_WEIGHT = 1e-6
"""GradNorm's weights stay above it: a step too long must not turn a loss around."""


class GradNorm(CombinedLoss):
    """Σ_i w_i L_i with weights that bring the components' gradients to a common scale (Chen et al. 2018).

    Call `update(shared)` after `forward` and before `backward` of the total, in every training step. The weights are
    an `nn.Parameter` without gradient: `update` alone moves them, and they sum to the number of components.

    `update` goes back through the model once a component. So that this works where the model is compiled, making a
    GradNorm sets `torch._functorch.config.donated_buffer` to False: make it before the first call of a compiled model.

    Args:
        components: As for `CombinedLoss`.
        objective: What the weights minimise, from `weights`, gradient `norms` and training `rates` by component.
        learning_rate: Of the weights' gradient descent.
    """

    initial: Tensor

    def __init__(
        self, components: Mapping[str, nn.Module | None], objective: LossModule, learning_rate: float = 0.025
    ) -> None:
        super().__init__(components)
        if not learning_rate > 0.0:
            raise UserError("learning_rate > 0", str(learning_rate), "correct it")
        self.objective, self.learning_rate = objective, float(learning_rate)
        self.weights = nn.Parameter(torch.ones(len(self.names)))
        self.register_buffer("initial", torch.full((len(self.names),), torch.nan))
        self._losses: Tensor | None = None
        _keep_what_backward_needs()

    def total(self, losses: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum; no gradient flows to the weights."""
        self._losses = losses if losses.requires_grad else None
        weights = self.weights.detach().clone()
        return (weights.to(losses.dtype) * losses).sum(), {"weights": weights}

    def weights_of(self, losses: Tensor, state: dict[str, Tensor]) -> Tensor:
        """Those of the sum."""
        return state["weights"]

    def update(self, shared: Tensor | Iterable[Tensor]) -> None:
        """One step of the weights, from the gradients of the last call's losses at shared parameters.

        The first update notes the losses to which training rates are relative.

        Args:
            shared: Parameters that every component depends on, one or several; by the paper those of the last shared
                layer.

        Raises:
            UserError: Before any `forward`, or where a loss does not depend on the shared parameters, is not
                positive at first, or not finite.
        """
        losses = self._losses
        if losses is None:
            raise UserError("`update` after `forward` with gradients", "no losses", "compute the total first")
        values = losses.detach().to(self.initial.dtype)
        if not bool(values.isfinite().all()):
            raise UserError("finite component losses", str(values.tolist()), "lower the step size")
        if not bool(self.initial.isfinite().all()):
            if not bool((values > 0.0).all()):
                raise UserError(
                    "positive first losses", str(values.tolist()), "GradNorm compares losses by their ratio"
                )
            self.initial.copy_(values)
        norms = self._gradient_norms(losses, [shared] if isinstance(shared, Tensor) else list(shared))
        rates = (values / self.initial).clamp_min(0.0)
        with torch.no_grad():
            self.weights.copy_(self._stepped(norms, rates / rates.mean().clamp_min(SMALLEST_WEIGHT)))
        self._losses = None

    def __getstate__(self) -> dict[str, Any]:
        # The last losses hold a graph, which cannot be copied or pickled.
        return {**self.__dict__, "_losses": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        super().__setstate__(state)
        _keep_what_backward_needs()

    def _gradient_norms(self, losses: Tensor, shared: list[Tensor]) -> Tensor:
        """‖∇ L_i‖ over the shared parameters, unweighted."""
        norms = []
        for name, loss in zip(self.names, losses.unbind(), strict=True):
            found = torch.autograd.grad(loss, shared, retain_graph=True, allow_unused=True) if shared else ()
            parts = [torch.linalg.vector_norm(gradient) for gradient in found if gradient is not None]
            if not parts:
                hint = "give parameters of a layer that all components use"
                raise UserError(f"shared parameters that {name} depends on", f"{len(shared)} that it does not", hint)
            norms.append(torch.linalg.vector_norm(torch.stack(parts)))
        return torch.stack(norms).to(self.weights.dtype)

    def _stepped(self, norms: Tensor, rates: Tensor) -> Tensor:
        """Weights after a step down the objective."""
        slope = slopes(lambda weights: self.objective(weights, norms, rates), self.weights)
        moved = (self.weights - self.learning_rate * slope).clamp_min(SMALLEST_WEIGHT)
        return moved * (len(self.names) / moved.sum())


def _keep_what_backward_needs() -> None:
    """Let backward passes that torch.compile makes from now on run more than once.

    They otherwise reuse the memory of what the forward pass kept for them, and refuse `retain_graph=True`.
    """
    if hasattr(functorch_config, "donated_buffer"):
        functorch_config.donated_buffer = False


class DynamicWeightAverage(CombinedLoss):
    """Σ_k λ_k L_k with larger weights for losses that fall more slowly (Liu et al. 2019).

    Call `update()` at the end of each epoch; all weights are one until there are two.

    Args:
        components: As for `CombinedLoss`.
        combination: Takes `losses`, mean losses of the `last` epoch and of the one `before` it to the total.
    """

    history: Tensor
    seen: Tensor
    count: Tensor

    def __init__(self, components: Mapping[str, nn.Module | None], combination: LossModule) -> None:
        super().__init__(components)
        self.combination = combination
        # Mean losses of the last epoch and the one before, and the sum over this one.
        self.register_buffer("history", torch.full((2, len(self.names)), torch.nan))
        self.register_buffer("seen", torch.zeros(len(self.names)))
        self.register_buffer("count", torch.zeros((), dtype=torch.int64))

    def total(self, losses: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The weighted sum; in training mode the losses enter the epoch's mean."""
        if self.training:
            self.seen += losses.detach().to(self.seen.dtype)
            self.count += 1
        course = self._course()
        return self.combination(losses, *course.unbind()), {"course": course}

    def weights_of(self, losses: Tensor, state: dict[str, Tensor]) -> Tensor:
        """λ[component], which follows from the epochs before."""
        return slopes(lambda leaf: self.combination(leaf, *state["course"].clone()), torch.zeros_like(self.seen))

    def _course(self) -> Tensor:
        """Mean losses of the last epoch and the one before, equal ones until there are two."""
        return torch.where(self.history.isfinite().all(), self.history, 1.0)

    @property
    def weights(self) -> Tensor:
        """λ[component]: what the total changes by with each loss."""
        return self.weights_of(self.seen, {"course": self._course()})

    def update(self) -> None:
        """End an epoch.

        Raises:
            UserError: No loss was computed since the last update, or a mean loss is not positive and finite.
        """
        if not int(self.count):
            raise UserError("losses computed in training mode since the last update", "none", "update once an epoch")
        mean = self.seen / self.count
        if not bool((mean.isfinite() & (mean > 0.0)).all()):
            hint = "dynamic weight average compares losses by their ratio"
            raise UserError("positive and finite mean losses", str(mean.tolist()), hint)
        self.history.copy_(torch.stack([mean, self.history[0]]))
        self.seen.zero_()
        self.count.zero_()
