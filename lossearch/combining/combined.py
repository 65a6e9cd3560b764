"""Several losses as one, each component reported: fixed weights or learned ones, by a graph over component losses."""

from __future__ import annotations

import re
from abc import ABC, abstractmethod
from collections.abc import Callable, Iterable, Mapping, Sequence
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
    and returns the total. After a call `components` maps each name to its value and weight in that call, so that an
    imbalance can be seen.

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
        self._last: dict[str, Tensor] = {}

    def forward(self, inputs: Mapping[str, Given] | Sequence[Given]) -> Tensor:
        """The total of the components."""
        if not isinstance(inputs, Mapping):
            inputs = self._by_name(inputs)
        if inputs.keys() != set(self.names):
            hint = "give each component its inputs, or its loss"
            raise UserError(f"inputs for {', '.join(self.names)}", ", ".join(inputs) or "none", hint)
        losses = torch.stack([self._component(name, inputs[name]) for name in self.names])
        total, state = self.total(losses)
        self._last = {"losses": losses.detach(), **state}
        return total

    def _by_name(self, inputs: object) -> dict[str, Given]:
        """What is given in the order of the components."""
        if not isinstance(inputs, (list, tuple)) or len(inputs) != len(self.names):
            found = f"{len(inputs)} of them" if isinstance(inputs, (list, tuple)) else f"a {type(inputs).__name__}"
            hint = "give each component its inputs, or its loss, by name or in this order"
            raise UserError(f"inputs for {', '.join(self.names)}", found, hint)
        return dict(zip(self.names, inputs, strict=True))

    @property
    def components(self) -> dict[str, Component]:
        """Each component's value and weight in the last call; nothing before the first."""
        if not self._last:
            return {}
        losses, state = self._last["losses"], {n: x for n, x in self._last.items() if n != "losses"}
        weights = self.weights_of(losses, state).to(losses.dtype)
        found = zip(self.names, losses.unbind(), weights.unbind(), strict=True)
        return {name: Component(value, weight) for name, value, weight in found}

    @abstractmethod
    def total(self, losses: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The total of `losses[component]`, and copies of what the weights depended on in this call."""

    @abstractmethod
    def weights_of(self, losses: Tensor, state: dict[str, Tensor]) -> Tensor:
        """Weights[component] in the call that had these losses and this state."""

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

    def total(self, losses: Tensor) -> tuple[Tensor, dict[str, Tensor]]:
        """The graph's value; its weights depend on its parameters."""
        state = {name: value.detach().clone() for name, value in self.combination.named_parameters()}
        return self.combination(losses), state

    def weights_of(self, losses: Tensor, state: dict[str, Tensor]) -> Tensor:
        """The total's derivative by each loss."""

        def total(leaf: Tensor) -> Tensor:
            # A call in inference mode leaves tensors that autograd takes only as copies.
            own = {name: value.clone() for name, value in state.items()}
            return torch.func.functional_call(self.combination, own, (leaf,))

        return slopes(total, losses)


def slopes(function: Callable[[Tensor], Tensor], at: Tensor) -> Tensor:
    """The derivative of a number by each element of its argument, whatever modes the caller is in."""
    with torch.inference_mode(False), torch.enable_grad():
        leaf = at.detach().clone().requires_grad_()
        (found,) = torch.autograd.grad(function(leaf), leaf)
    return found


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
