"""What a training function gives its loss at the first call: the predictions at which step sizes are measured.

A dry call of the function records them. Its loss writes them to a file and ends the call, before anything is computed.
"""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NoReturn

import torch
from safetensors import SafetensorError
from safetensors import torch as safetensors
from torch import Tensor
from torch._C import _functorch as functorch

from lossearch.compile.module import LossModule
from lossearch.errors import UserError

LARGEST = 2**20
"""Numbers that are kept of a first call: of larger ones the first samples of the batch only."""

_OPTIONS = ("reduction", "ignore_index")
_DAMAGED = "the recorded inputs of a training function's first call of its loss"


class Recorded(BaseException):
    """A loss has recorded its first call, and ends the dry call of the function. No `except Exception` holds it up."""


@dataclass(frozen=True)
class FirstCall:
    """The inputs of a loss at its first call, on the CPU.

    Attributes:
        inputs: those given by position: tensors, which require gradients as they did, numbers or None.
        named: those given by name.
        options: of the loss, as the function set them: `reduction` and `ignore_index`.
    """

    inputs: tuple[Any, ...]
    named: Mapping[str, Any] = field(default_factory=dict)
    options: Mapping[str, Any] = field(default_factory=dict)

    def items(self) -> Iterator[tuple[str, Any]]:
        """Every input with its place: its number or its name."""
        yield from ((str(place), value) for place, value in enumerate(self.inputs))
        yield from self.named.items()

    def tensors(self) -> dict[str, Tensor]:
        """The tensors by their places."""
        return {place: value for place, value in self.items() if isinstance(value, Tensor)}

    def describe(self) -> str:
        """Shapes, for a person."""
        return " and ".join(str(list(tensor.shape)) for tensor in self.tensors().values())

    def dumps(self) -> bytes:
        """A safetensors file; `loads` reads it back."""
        tensors = self.tensors()
        plain = {place: value for place, value in self.items() if place not in tensors}
        head = {
            "inputs": len(self.inputs),
            "named": list(self.named),
            "plain": plain,
            "differentiable": [place for place, tensor in tensors.items() if tensor.requires_grad],
            "options": dict(self.options),
        }
        stored = {place: tensor.detach().contiguous() for place, tensor in tensors.items()}
        return safetensors.save(stored, {"call": json.dumps(head)})

    @classmethod
    def loads(cls, content: bytes) -> FirstCall:
        """The call in a file's content; raises `UserError` where it is damaged."""
        try:
            tensors = safetensors.load(content)
            length = int.from_bytes(content[:8], "little")
            head = json.loads(json.loads(content[8 : 8 + length])["__metadata__"]["call"])
            for place in head["differentiable"]:
                tensors[place].requires_grad_()
            values = {**tensors, **head["plain"]}
            inputs = tuple(values[str(place)] for place in range(head["inputs"]))
            return cls(inputs, {name: values[name] for name in head["named"]}, head["options"])
        except (SafetensorError, ValueError, KeyError, TypeError, RuntimeError) as error:
            found = f"{type(error).__name__}: {error}"[:200]
            raise UserError(_DAMAGED, found, "restore the file from a copy, or search anew") from error


class RecordingLoss(LossModule):
    """A loss that records its first call in a file and ends the function that called it."""

    recorded_in: str

    def __call__(self, *inputs: Any, **named: Any) -> NoReturn:
        self.forward(*inputs, **named)

    def forward(self, *inputs: Any, **named: Any) -> NoReturn:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Record and raise; a function that has caught that once is killed, with the session that it runs in."""
        path = Path(self.recorded_in)
        if path.exists():
            os.kill(os.getsid(0), signal.SIGKILL)
        options = {name: getattr(self, name) for name in _OPTIONS}
        call = FirstCall(*_kept(inputs, named), options)
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_bytes(call.dumps())
        draft.rename(path)  # appears complete or not at all
        raise Recorded


@dataclass(frozen=True)
class Recording:
    """Makes, in a training's process, the loss that another factory makes, recording its first call in a file."""

    factory: Callable[[], LossModule]
    path: str

    def __call__(self) -> LossModule:
        torch.compiler.set_stance("force_eager")  # nothing here is called twice
        loss = self.factory()
        loss.__class__ = RecordingLoss
        assert isinstance(loss, RecordingLoss)
        loss.recorded_in = self.path
        return loss


def _kept(inputs: tuple[Any, ...], named: Mapping[str, Any]) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """Inputs as they are recorded: plain tensors on the CPU, of large batches the first samples."""
    given = {**dict(enumerate(inputs)), **named}
    tensors = {place: _plain(value) for place, value in given.items() if isinstance(value, Tensor)}
    total, batch = sum(map(Tensor.numel, tensors.values())), max((len(t) for t in tensors.values() if t.dim()), default=0)
    samples = max(1, batch * LARGEST // total) if total > LARGEST else batch
    kept = {
        place: (tensor[:samples] if tensor.dim() and len(tensor) == batch else tensor)
        .detach()
        .to("cpu", copy=True)
        .requires_grad_(tensor.requires_grad)
        for place, tensor in tensors.items()
    }
    values = {place: kept.get(place, _described(value)) for place, value in given.items()}
    return tuple(values[place] for place in range(len(inputs))), {name: values[name] for name in named}


def _described(value: Any) -> Any:
    """What is no tensor, as far as JSON can hold it."""
    return value if value is None or isinstance(value, bool | int | float | str) else type(value).__name__


def _plain(tensor: Tensor) -> Tensor:
    """A tensor without the wrappers of torch.func; of a vmapped one the first."""
    differentiable = tensor.requires_grad
    while functorch.is_functorch_wrapped_tensor(tensor):
        dimension = functorch.maybe_get_bdim(tensor) if functorch.is_batchedtensor(tensor) else -1
        tensor = functorch.get_unwrapped(tensor)
        tensor = tensor.select(dimension, 0) if dimension >= 0 else tensor
        differentiable |= tensor.requires_grad
    plain = tensor.detach().as_subclass(Tensor)
    return plain.requires_grad_() if differentiable else plain
