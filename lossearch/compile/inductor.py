"""torch.compile: fused kernels, with derivatives of any order."""

from __future__ import annotations

import logging
import os
import shutil
from collections.abc import Callable, Sequence
from types import FunctionType
from typing import Any

import torch
from torch import Tensor

from lossearch.compile.one_step import as_one_step, is_differentiated, is_transformed
from lossearch.errors import UserError

Function = Callable[..., Any]

logger = logging.getLogger(__name__)

LONGEST_REASON = 200
"""Characters of torch.compile's own message that are logged; pages may follow."""

UNFUSED: dict[str, str | int | bool | Callable[..., Any]] = {"max_fusion_size": 1}
"""A kernel for each operation."""


def compile_function(eager: FunctionType, scatters: bool = False) -> Function:
    """`eager` with fused kernels for value and gradient.

    With `scatters`, nothing is fused. On the CPU, torch.compile flattens the loops of kernels that it fuses, and then
    forgets which of them read what another one scatters: it may run the reader first, which reads zeros (torch 2.13).

    Derivatives beyond the first, which fused kernels do not have, and functorch transforms run `eager` itself, so
    they are there and agree. Raises `UserError` at a call on the CPU without a C++ compiler.
    """
    fused = _Fused(eager, UNFUSED if scatters else None)

    def call(*arguments: Any) -> Any:
        if torch.compiler.is_compiling() or is_transformed():
            return eager(*arguments)
        if is_differentiated(arguments):
            return as_one_step(fused, eager, arguments)
        return fused(*arguments)

    return call


class _Fused:
    """A function that torch.compile compiles for each kind of call by itself.

    torch.compile keeps a few forms of a function and then raises. What changes without end are sizes, which it learns
    to leave open; dtypes, ranks, memory formats and grad modes are few, and each has a compiled function of its own. A
    kind that cannot be compiled, or would need too many forms all the same, runs uncompiled, which is logged once.
    """

    def __init__(self, eager: FunctionType, options: dict[str, Any] | None) -> None:
        self._eager, self._options = eager, options
        self._kinds: dict[tuple[Any, ...], Function] = {}
        self._open: set[tuple[Any, ...]] = set()
        self._told = False

    def __call__(self, *arguments: Any) -> Any:
        kind = (torch.is_grad_enabled(), torch.is_inference_mode_enabled(), *map(_kind, arguments))
        compiled = self._kinds.get(kind)
        if compiled is None:
            _require_compiler(arguments)
            compiled = self._kinds[kind] = self._compiled()
        try:
            return compiled(*arguments)
        except _limit_hit():
            if kind not in self._open:  # next with every size open from the start
                self._open.add(kind)
                self._kinds[kind] = self._compiled(dynamic=True)
                return self(*arguments)
            return self._uncompiled(kind, arguments, "too many kinds of sizes")
        except _refused() as error:
            return self._uncompiled(kind, arguments, " ".join(str(error).split())[:LONGEST_REASON])

    def _compiled(self, dynamic: bool | None = None) -> Function:
        # torch.compile keeps its forms at a function's code, so each kind has a copy of it.
        own = FunctionType(self._eager.__code__.replace(), self._eager.__globals__, self._eager.__name__)
        return torch.compile(own, fullgraph=True, dynamic=dynamic, options=self._options)

    def _uncompiled(self, kind: tuple[Any, ...], arguments: Sequence[Any], reason: str) -> Any:
        self._kinds[kind] = self._eager
        if not self._told:
            self._told = True
            logger.warning("torch.compile was given up for some calls of a loss, which run uncompiled: %s", reason)
        return self._eager(*arguments)


def _kind(argument: Any) -> object:
    """What tells compiled functions apart, sizes excepted."""
    if not isinstance(argument, Tensor):
        return len(argument)  # of spatial axes
    contiguous = argument.is_contiguous() or tuple(sorted(range(argument.dim()), key=argument.stride().__getitem__))
    return (
        type(argument),
        argument.dtype,
        argument.device,
        argument.dim(),
        argument.requires_grad,
        argument.is_inference(),
        contiguous,
    )


def _limit_hit() -> type[Exception]:
    # Seconds to import, so only once something was raised: torch.compile has imported it by then.
    from torch._dynamo.exc import FailOnRecompileLimitHit

    return FailOnRecompileLimitHit


def _refused() -> type[Exception]:
    from torch._dynamo.exc import TorchDynamoException

    return TorchDynamoException


def _require_compiler(arguments: Sequence[Any]) -> None:
    if any(isinstance(argument, Tensor) and argument.is_cuda for argument in arguments):
        return
    compilers = filter(None, (os.environ.get("CXX"), "g++", "clang++", "cl"))
    if not any(map(shutil.which, compilers)):
        hint = "install g++ or clang++ or set CXX, or choose backend torchscript or eager"
        raise UserError("a C++ compiler for backend compile on the CPU", "none on the path", hint)
