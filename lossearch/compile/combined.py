"""Several losses as one, each component reported: fixed weights or learned ones, by a graph over component losses."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from numbers import Real
from typing import Any

import torch
from torch import Tensor, nn

from lossearch.compile.module import LossModule
from lossearch.errors import UserError

Given = Tensor | Sequence[Tensor]
"""A component loss that is computed already, or the inputs of the component's module."""


@dataclass(frozen=True)
class Component:
    """What one component was in the last call.

    Attributes:
        value: Its loss, detached.
        weight: How much the total changes with it: its weight in the total, detached.
    """

    value: Tensor
    weight: Tensor


class CombinedLoss(nn.Module, ABC):
    """A total of several component losses.

    `forward` takes a mapping from each component's name to the inputs of its module (a tuple or list of tensors), or to
    its loss where that is computed already (a tensor of one number), or these in a list in the order of the components,
    and returns the total. After a call `components`
    maps each name to its value and weight, so that an imbalance can be seen.

    Args:
        components: The module of each component by name; None where losses will be given computed.

    Raises:
        UserError: For no or badly named components, and from `forward` for components that are missing, unknown,
            or not one number.
    """

    def __init__(self, components: Mapping[str, nn.Module | None]) -> None:
        super().__init__()
        for name in components:
            # Names become keys of the state dict.
            if not re.fullmatch(r"[A-Za-z_]\w*", name) or hasattr(nn.ModuleDict(), name):
                raise UserError("component names that are free identifiers", repr(name), "rename the component")
        if not components:
            raise UserError("one component at least", "none", "give the losses to combine by name")
        self.names = tuple(components)
        self.modules_by_name = nn.ModuleDict({n: module for n, module in components.items() if module is not None})
        self.components: dict[str, Component] = {}

    def forward(self, inputs: Mapping[str, Given] | Sequence[Given]) -> Tensor:
        """The total of the components."""
        if not isinstance(inputs, Mapping):
            inputs = self._by_name(inputs)
        if inputs.keys() != set(self.names):
            hint = "give each component its inputs, or its loss"
            raise UserError(f"inputs for {', '.join(self.names)}", ", ".join(inputs) or "none", hint)
        losses = torch.stack([self._component(name, inputs[name]) for name in self.names])
        total, weights = self.total(losses)
        found = zip(self.names, losses.detach().unbind(), weights.detach().unbind(), strict=True)
        self.components = {name: Component(value, weight) for name, value, weight in found}
        return total

    def _by_name(self, inputs: object) -> dict[str, Given]:
        """What is given in the order of the components."""
        if not isinstance(inputs, (list, tuple)) or len(inputs) != len(self.names):
            found = f"{len(inputs)} of them" if isinstance(inputs, (list, tuple)) else f"a {type(inputs).__name__}"
            hint = "give each component its inputs, or its loss, by name or in this order"
            raise UserError(f"inputs for {', '.join(self.names)}", found, hint)
        return dict(zip(self.names, inputs, strict=True))

    @abstractmethod
    def total(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        """Total and weights of `losses[component]`."""

    def _component(self, name: str, given: Given) -> Tensor:
        if isinstance(given, Tensor):
            value = given
        elif name in self.modules_by_name:
            value = self.modules_by_name[name](*given)
        else:
            raise UserError(f"the loss of {name} as a tensor", type(given).__name__, "this component has no module")
        if value.dim():
            hint = "reduce it, or give inputs as a tuple"
            raise UserError(f"one number as the loss of {name}", f"shape {list(value.shape)}", hint)
        return value if value.dtype == torch.float64 else value.float()


class GraphCombination(CombinedLoss):
    """Components combined by a graph over `losses[component]`, such as a weighted sum.

    Its own tensors, such as learnable log-variances, are those of the graph's module.

    Args:
        components: As for `CombinedLoss`.
        combination: Takes `losses[component]` to one number.
    """

    def __init__(self, components: Mapping[str, nn.Module | None], combination: LossModule) -> None:
        super().__init__(components)
        self.combination = combination

    def total(self, losses: Tensor) -> tuple[Tensor, Tensor]:
        """The graph's value, and its derivative by each loss."""
        with torch.inference_mode(False), torch.enable_grad():
            leaf = losses.detach().clone().requires_grad_()
            (weights,) = torch.autograd.grad(self.combination(leaf), leaf)
        return self.combination(losses), weights


Numbers = Mapping[str, float] | Sequence[float] | Tensor
"""Numbers of components: by name, or all of them in order."""


def by_name(names: Iterable[str], values: object, what: str) -> dict[str, Any]:
    """Values of components, given by name or in their order, by name; raises `UserError` for another number of them."""
    names = list(names)
    if values is None or isinstance(values, Mapping):
        return dict(values or {})
    listed = values.tolist() if isinstance(values, Tensor) else values
    if not isinstance(listed, (list, tuple)) or len(listed) != len(names):
        found = f"{len(listed)} of them" if isinstance(listed, (list, tuple)) else f"{values!r:.80}"
        raise UserError(f"{what} of {', '.join(names)}", found, "give one for each, by name or in this order")
    return dict(zip(names, listed, strict=True))


def numbers_by_name(names: Iterable[str], values: Numbers | None, default: float, what: str) -> Tensor:
    """Numbers given by component name, or in order, as `[component]`, the default where there is none."""
    names = list(names)
    given = by_name(names, values, what)
    if unknown := sorted(given.keys() - set(names)):
        raise UserError(f"{what} of {', '.join(names)}", ", ".join(unknown), "correct the name")
    numbers = [given.get(name, default) for name in names]
    if not all(isinstance(number, Real) or (isinstance(number, Tensor) and not number.dim()) for number in numbers):
        raise UserError(f"numbers as {what}", f"{given!r:.80}", "correct them")
    found = torch.tensor([float(number) for number in numbers])
    if not bool(found.isfinite().all()):
        raise UserError(f"finite {what}", str(given), "correct the numbers")
    return found
