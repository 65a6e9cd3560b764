"""torch.compile: fused kernels, with derivatives of any order."""

from __future__ import annotations

import os
import shutil
from collections.abc import Callable
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import peek_interpreter_stack

from lossearch.errors import UserError

Function = Callable[..., Any]


UNFUSED: dict[str, str | int | bool | Callable[..., Any]] = {"max_fusion_size": 1}
"""A kernel for each operation."""


def compile_function(eager: Function, orders: bool = False) -> Function:
    """`eager` with fused kernels for value and gradient.

    With `orders`, for what sorts, nothing is fused: where a softmax is sorted along another axis, the kernel that
    scatters the gradient is otherwise fused with the one that reads it, and the gradient is wrong (torch 2.13).

    Derivatives beyond the first, which fused kernels do not have, and functorch transforms run `eager` itself, so
    they are there and agree. Raises `UserError` at a call on the CPU without a C++ compiler.
    """
    fused = torch.compile(eager, fullgraph=True, options=UNFUSED if orders else None)

    def call(*arguments: Any) -> Any:
        if torch.compiler.is_compiling() or peek_interpreter_stack() is not None:
            return eager(*arguments)
        _require_compiler(arguments)
        if torch.is_grad_enabled() and any(isinstance(a, Tensor) and a.requires_grad for a in arguments):
            return _Twice.apply(fused, eager, *arguments)
        return fused(*arguments)

    return call


class _Twice(torch.autograd.Function):
    """Fused value and gradient; where a gradient is itself differentiated, the eager form of it."""

    @staticmethod
    def forward(ctx: Any, fused: Function, eager: Function, *arguments: Any) -> Any:
        wanted = ctx.needs_input_grad[2:]
        with torch.enable_grad():
            leaves = [a.detach().requires_grad_() if want else a for a, want in zip(arguments, wanted, strict=True)]
            value = fused(*leaves)
        ctx.fused, ctx.eager = fused, eager
        ctx.numbers = [None if isinstance(a, Tensor) else a for a in arguments]
        ctx.save_for_backward(*(a for a in arguments if isinstance(a, Tensor)))
        ctx.run = value, leaves
        return tuple(v.detach() for v in value) if isinstance(value, tuple) else value.detach()

    @staticmethod
    def backward(ctx: Any, *gradients: Tensor) -> Any:
        wanted = ctx.needs_input_grad[2:]
        again = torch.is_grad_enabled()
        if again or ctx.run is None:
            tensors = iter(ctx.saved_tensors)
            leaves = [next(tensors) if number is None else number for number in ctx.numbers]
            with torch.enable_grad():
                if not again:
                    leaves = [a.detach().requires_grad_() if w else a for a, w in zip(leaves, wanted, strict=True)]
                value = (ctx.eager if again else ctx.fused)(*leaves)
        else:
            value, leaves = ctx.run
            ctx.run = None  # its buffers go with this call, as those of any graph do
        sources = [leaf for leaf, want in zip(leaves, wanted, strict=True) if want]
        values = zip(value if isinstance(value, tuple) else (value,), gradients, strict=True)
        pairs = [(v, g) for v, g in values if v.requires_grad]
        found: list[Tensor | None] = [None] * len(sources)
        if pairs:
            results, outer = zip(*pairs, strict=True)
            found = list(torch.autograd.grad(results, sources, outer, create_graph=again, allow_unused=True))
        return (None, None, *(found.pop(0) if want else None for want in wanted))


def _require_compiler(arguments: tuple[Any, ...]) -> None:
    if any(isinstance(argument, Tensor) and argument.is_cuda for argument in arguments):
        return
    compilers = filter(None, (os.environ.get("CXX"), "g++", "clang++", "cl"))
    if not any(map(shutil.which, compilers)):
        hint = "install g++ or clang++ or set CXX, or choose backend torchscript or eager"
        raise UserError("a C++ compiler for backend compile on the CPU", "none on the path", hint)
