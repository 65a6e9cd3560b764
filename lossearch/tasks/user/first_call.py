"""What a training function gives its loss at the first call: the predictions at which step sizes are measured.

A dry call of the function records them. Its loss writes them to a file and ends the call, before anything is computed.
"""

from __future__ import annotations

import hashlib
import json
import math
import os
import signal
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor
from torch._C._functorch import get_unwrapped, is_batchedtensor, is_functorch_wrapped_tensor, maybe_get_bdim
from torch._functorch.pyfunctorch import temporarily_clear_interpreter_stack

from lossearch.compile.module import LossModule
from lossearch.errors import UserError

LARGEST = 2**20
"""Numbers that are kept of a first call: of larger ones the first samples of the batch only."""

_OPTIONS = ("reduction", "ignore_index")
DAMAGED = "the recorded inputs of a training function's first call of its loss"


class Recorded(BaseException):
    """A loss has recorded its first call, and ends the dry call of the function. No `except Exception` holds it up."""


@dataclass(frozen=True)
class FirstCall:
    """The inputs of a loss at its first call, on the CPU.

    Attributes:
        inputs: those given by position: tensors, numbers or None.
        named: those given by name.
        differentiable: places of the tensors that required gradients: their numbers or names.
        options: of the loss, as the function set them: `reduction` and `ignore_index`.
        described: whether the function's class tells these inputs by its method `describe`, so that none was called.
        judged: whether the function's class gives the metric of predictions by its method `judge`.
    """

    inputs: tuple[Any, ...]
    named: Mapping[str, Any] = field(default_factory=dict)
    differentiable: frozenset[str] = frozenset()
    options: Mapping[str, Any] = field(default_factory=dict)
    described: bool = False
    judged: bool = False

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
        """A line of JSON and the numbers of the tensors; `loads` reads it back."""
        tensors = self.tensors()
        arrays = {place: tensor.numpy() for place, tensor in tensors.items()}
        body = b"".join(array.tobytes() for array in arrays.values())
        head = {
            "inputs": len(self.inputs),
            "named": list(self.named),
            "plain": {place: value for place, value in self.items() if place not in tensors},
            "tensors": {place: [array.dtype.str, array.shape] for place, array in arrays.items()},
            "differentiable": sorted(self.differentiable),
            "options": dict(self.options),
            "described": self.described,
            "judged": self.judged,
            "sha256": hashlib.sha256(body).hexdigest(),
        }
        return json.dumps(head).encode() + b"\n" + body

    @classmethod
    def loads(cls, content: bytes) -> FirstCall:
        """The call in a file's content; raises `UserError` where it is damaged."""
        first, _, body = content.partition(b"\n")
        try:
            head = json.loads(first)
            if head["sha256"] != hashlib.sha256(body).hexdigest():
                raise ValueError("a checksum that does not match")
            values, start = dict(head["plain"]), 0
            for place, (dtype, shape) in head["tensors"].items():
                array = np.frombuffer(body, np.dtype(dtype), math.prod(shape), start).reshape(shape)
                start += array.nbytes
                values[place] = torch.from_numpy(array.copy())
            inputs = tuple(values[str(place)] for place in range(head["inputs"]))
            named = {name: values[name] for name in head["named"]}
            described, judged = bool(head.get("described", False)), bool(head.get("judged", False))
            return cls(inputs, named, frozenset(head["differentiable"]), head["options"], described, judged)
        except (ValueError, KeyError, TypeError, AttributeError, RuntimeError, RecursionError) as error:
            found = f"{type(error).__name__}: {error}"[:200]
            raise UserError(DAMAGED, found, "restore the file from a copy, or search anew") from error


class RecordingLoss(LossModule):
    """A loss that records its first call in a file.

    It ends the function that called it once all of the function's losses have recorded theirs.
    """

    recorded_in: str
    all_in: tuple[str, ...]
    described: bool = False
    judged: bool = False

    def record_described(self, given: object, seed: int) -> None:
        """Record what a method `describe` gave as the first call, and raise as a call does.

        Args:
            given: by name of the loss's inputs a tensor, or the shape of a prediction, which stands for random numbers.
            seed: draws them.

        Raises:
            UserError: it is something else.
        """
        if not isinstance(given, Mapping) or not given or not all(isinstance(name, str) for name in given):
            required = "describe() to return a mapping from the names of the loss's inputs to tensors or shapes"
            raise UserError(required, f"{given!r:.200}", 'return {"logits": (64, 10), "target": labels}, for example')
        generator = torch.Generator().manual_seed(seed)
        self.described = True
        self._record((), {name: _example(name, value, generator) for name, value in given.items()})

    def __call__(self, *inputs: Any, **named: Any) -> Tensor:
        return self.forward(*inputs, **named)

    def forward(self, *inputs: Any, **named: Any) -> Tensor:  # pyright: ignore[reportIncompatibleMethodOverride]
        """Record and raise; a function that has caught that once is killed, with the session that it runs in.

        While another of the function's losses has not been called, this one computes its value.
        """
        self._record(inputs, named)
        return super().forward(*inputs, **named)

    def _record(self, inputs: tuple[Any, ...], named: Mapping[str, Any]) -> None:
        """Write the first call into the file; raise where those of all losses are written."""
        path = Path(self.recorded_in)
        if all(map(os.path.exists, self.all_in)):
            os.kill(os.getsid(0), signal.SIGKILL)
        if path.exists():
            return
        options = {name: getattr(self, name) for name in _OPTIONS}
        with temporarily_clear_interpreter_stack():  # transforms of torch.func would wrap what is recorded, too
            kept = _kept(inputs, named, options)
            content = replace(kept, described=self.described, judged=self.judged).dumps()
        draft = path.with_suffix(f".{os.getpid()}")
        draft.write_bytes(content)
        draft.rename(path)  # appears complete or not at all
        if all(map(os.path.exists, self.all_in)):
            raise Recorded


def recording(loss: LossModule, path: str, all_paths: tuple[str, ...]) -> RecordingLoss:
    """Make a loss record its first call in a file; the function ends once all files are written."""
    os.environ["TORCHDYNAMO_DISABLE"] = "1"  # nothing here is called often
    loss.__class__ = RecordingLoss
    assert isinstance(loss, RecordingLoss)
    loss.recorded_in, loss.all_in = path, all_paths
    return loss


def _example(name: str, value: object, generator: torch.Generator) -> Tensor:
    """The tensor that a description gives, or standard normal numbers of the shape that it gives."""
    if isinstance(value, Tensor):
        return value
    if isinstance(value, tuple | list) and all(type(length) is int and length > 0 for length in value):
        return torch.randn(*value, generator=generator)
    raise UserError(f"describe() to give {name!r} as a tensor or a shape", f"{value!r:.200}", "give one of these")


def _kept(inputs: tuple[Any, ...], named: Mapping[str, Any], options: Mapping[str, Any]) -> FirstCall:
    """The call as it is recorded: plain tensors on the CPU, of large batches the first samples."""
    given = {**{str(place): value for place, value in enumerate(inputs)}, **named}
    tensors = {place: _plain(value) for place, value in given.items() if isinstance(value, Tensor)}
    total = sum(map(Tensor.numel, tensors.values()))
    batch = max((len(tensor) for tensor in tensors.values() if tensor.dim()), default=0)
    samples = max(1, batch * LARGEST // total) if total > LARGEST else batch
    kept = {
        place: _stored(tensor[:samples] if tensor.dim() and len(tensor) == batch else tensor)
        for place, tensor in tensors.items()
    }
    values = {place: kept[place] if place in kept else _described(value) for place, value in given.items()}
    differentiable = frozenset(place for place in tensors if _requires_gradient(given[place]))
    by_number = tuple(values[str(place)] for place in range(len(inputs)))
    return FirstCall(by_number, {name: values[name] for name in named}, differentiable, options)


def _stored(tensor: Tensor) -> Tensor:
    """A copy on the CPU, in an ordinary precision."""
    dtype = torch.promote_types(tensor.dtype, torch.float32) if tensor.is_floating_point() else tensor.dtype
    return tensor.to("cpu", dtype, copy=True).contiguous()


def _described(value: Any) -> Any:
    """What is no tensor, as far as JSON can hold it."""
    return value if value is None or isinstance(value, bool | int | float | str) else type(value).__name__


def _plain(tensor: Tensor) -> Tensor:
    """A tensor without its history and the wrappers of torch.func; of a vmapped one the first."""
    while is_functorch_wrapped_tensor(tensor):
        dimension = maybe_get_bdim(tensor) if is_batchedtensor(tensor) else -1
        tensor = get_unwrapped(tensor)
        tensor = tensor.select(dimension, 0) if dimension >= 0 else tensor
    return tensor.detach().as_subclass(Tensor)


def _requires_gradient(tensor: Tensor) -> bool:
    """Whether autograd or a transform of torch.func differentiates with respect to a tensor."""
    while is_functorch_wrapped_tensor(tensor):
        if tensor.requires_grad:
            return True
        tensor = get_unwrapped(tensor)
    return tensor.requires_grad
