"""What one row of `bench_losses` declares: a loss, inputs, and what others have written for it."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import torch
from torch import Tensor

from lossearch import zoo
from lossearch.experiments.benchmarks.timing import Call
from lossearch.loss import Loss

Size = Literal["tiny", "small", "large"]
Made = Sequence[Tensor] | tuple[Sequence[Tensor], Mapping[str, Tensor]]


@dataclass(frozen=True)
class Inputs:
    """Random inputs of a signature: `make(*size)` gives those of `forward` or, where there are buffers, both."""

    make: Callable[..., Made]
    small: tuple[int, ...]
    large: tuple[int, ...]
    tiny: tuple[int, ...]


@dataclass(frozen=True)
class Form:
    """Somebody's implementation with reduction to the mean; `convert` gives it the layout it takes, untimed.

    `scales` is false where memory does not suffice for the large size.
    """

    name: str
    function: Callable[..., Tensor]
    convert: Callable[..., Sequence[Any]] | None = None
    scales: bool = True


@dataclass(frozen=True)
class Row:
    """One loss against a library's implementations, if any, and against hand-written eager ones.

    Forms take the inputs of `forward`, then the buffers in the order in which they are made.
    """

    loss_name: str
    inputs: Inputs
    library: tuple[Form, ...] = ()
    hand_written: tuple[Callable[..., Tensor], ...] = ()
    arguments: Mapping[str, Any] = field(default_factory=dict)

    @property
    def loss(self) -> Loss:
        """The loss in question."""
        return zoo.get(self.loss_name, **self.arguments)

    @property
    def name(self) -> str:
        """The loss with its arguments."""
        given = ", ".join(f"{key}={value}" for key, value in self.arguments.items())
        return f"{self.loss_name}({given})" if given else self.loss_name

    def calls(self, size: Size, backends: Sequence[str], device: str = "cpu") -> dict[str, dict[str, Call]]:
        """Every form on the same inputs, as `library`, `hand` and `ours`."""
        torch.manual_seed(0)
        made = self.inputs.make(*getattr(self.inputs, size))
        buffers = made[-1] if isinstance(made[-1], Mapping) else {}
        given = made[0] if buffers else made
        signature = self.loss.signature
        inputs = [x.to(device) for x in given if isinstance(x, Tensor)]
        for x, declared in zip(inputs, signature.forward_inputs, strict=True):
            x.requires_grad_(declared.role == "prediction")
        held = {name: value.to(device).requires_grad_(signature[name].learnable) for name, value in buffers.items()}
        hand = [Form(function.__name__, function) for function in self.hand_written]
        arguments = [*inputs, *held.values()]
        return {
            "library": {f.name: _call(f, arguments) for f in self.library if f.scales or size != "large"},
            "hand": {form.name: _call(form, arguments) for form in hand},
            "ours": {backend: self._ours(backend, inputs, held) for backend in backends},
        }

    def _ours(self, backend: str, inputs: Sequence[Tensor], buffers: Mapping[str, Tensor]) -> Call:
        module = self.loss.to_module(backend, buffers={name: value.detach() for name, value in buffers.items()})
        module = module.to(inputs[0].device)
        return Call(module, inputs, [*(x for x in inputs if x.requires_grad), *module.parameters()])


def _call(form: Form, arguments: Sequence[Tensor]) -> Call:
    given = list(arguments if form.convert is None else form.convert(*arguments))
    for rank, x in enumerate(given):  # what was made of leaves becomes one
        if isinstance(x, Tensor) and x.requires_grad:
            given[rank] = x.detach().requires_grad_()
    return Call(form.function, given, [x for x in given if isinstance(x, Tensor) and x.requires_grad])
