"""A function as one step of autograd's graph: what its derivatives run, and how, is decided here."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from functools import partial
from typing import Any

import torch
from torch import Tensor
from torch._C._autograd import _get_current_graph_task_keep_graph  # pyright: ignore[reportAttributeAccessIssue]
from torch._C._functorch import peek_interpreter_stack
from torch.autograd import forward_ad

from lossearch.compile.torchscript import is_tracing

Function = Callable[..., Any]


def full_precision(function: Function, is_one_step: bool = False) -> Function:
    """`function`, to be called with autocast off; gradients keep its precision where autocast is on for them.

    Autograd alone would multiply matrices in half precision where `backward` is called under autocast. Here the
    function is one step of autograd's graph, if it is not one already, whose gradient turns autocast off. What
    transforms or traces a call writes the gradient itself: that is computed in float64, which autocast leaves alone.
    """

    def call(*arguments: Any) -> Any:
        if torch.compiler.is_compiling() or is_tracing() or is_transformed():
            return _in_double(function, arguments)
        if is_one_step or not is_differentiated(arguments):
            return function(*arguments)
        return as_one_step(function, function, arguments)

    return call


def is_differentiated(arguments: Sequence[Any]) -> bool:
    """Whether autograd will want gradients of a call; who transforms it takes its own."""
    if not torch.is_grad_enabled() or not any(isinstance(a, Tensor) and a.requires_grad for a in arguments):
        return False
    return not is_transformed()


def is_transformed() -> bool:
    """Whether a transform of torch.func, or differentiation in forward mode, surrounds the call."""
    return peek_interpreter_stack() is not None or forward_ad._current_level >= 0


def _in_double(function: Function, arguments: Sequence[Any]) -> Any:
    """The function computed in float64, its results as otherwise; on MPS, which has no float64, as it is."""
    numbers = [a for a in arguments if isinstance(a, Tensor) and a.is_floating_point()]
    if numbers[0].device.type == "mps":
        return function(*arguments)
    wide = [a.double() if isinstance(a, Tensor) and a.is_floating_point() else a for a in arguments]
    value, dtype = function(*wide), numbers[0].dtype
    return tuple(v.to(dtype) for v in value) if isinstance(value, tuple) else value.to(dtype)


def as_one_step(function: Function, again: Function, arguments: Sequence[Any]) -> Any:
    """`function(*arguments)` and its gradient; where the gradient is itself differentiated, that of `again`.

    Arguments are tensors and others; the result is a tensor or a tuple of tensors.
    """
    return _OneStep.apply(function, again, *arguments)


def without_autocast(arguments: Sequence[Any]) -> AbstractContextManager[Any]:
    """A context in which autocast is off for the arguments' device."""
    device = next(a.device.type for a in arguments if isinstance(a, Tensor))
    if not torch.amp.is_autocast_available(device) or not torch.is_autocast_enabled(device):
        return nullcontext()
    return torch.autocast(device, enabled=False)


class _OneStep(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, function: Function, again: Function, *arguments: Any) -> Any:
        wanted = ctx.needs_input_grad[2:]
        with without_autocast(arguments), torch.enable_grad():
            leaves = _leaves(arguments, wanted)
            value = function(*leaves)
        ctx.function, ctx.again = function, again
        ctx.others = [None if isinstance(a, Tensor) else a for a in arguments]
        ctx.save_for_backward(*(a for a in arguments if isinstance(a, Tensor)))
        ctx.run = value, leaves
        return tuple(v.detach() for v in value) if isinstance(value, tuple) else value.detach()

    @staticmethod
    def backward(ctx: Any, *outer: Tensor) -> Any:
        wanted = ctx.needs_input_grad[2:]
        if torch.is_grad_enabled():
            gradient = partial(_gradient, ctx.again, wanted)
            found = as_one_step(gradient, gradient, [*_arguments(ctx), *outer])
        else:
            with without_autocast(outer):
                value, leaves = ctx.run or _run(ctx)
                again = _get_current_graph_task_keep_graph()  # with retain_graph=True
                ctx.run = (value, leaves) if again else None
                found = _pulled_back(value, leaves, wanted, outer, create_graph=False, retain_graph=again)
        each = iter(found)
        return (None, None, *(next(each) if want else None for want in wanted))


def _arguments(ctx: Any) -> list[Any]:
    tensors = iter(ctx.saved_tensors)
    return [next(tensors) if other is None else other for other in ctx.others]


def _run(ctx: Any) -> tuple[Any, list[Any]]:
    """The value, with the graph behind it, and what it was computed from."""
    with torch.enable_grad():
        leaves = _leaves(_arguments(ctx), ctx.needs_input_grad[2:])
        return ctx.function(*leaves), leaves


def _leaves(arguments: Sequence[Any], wanted: Sequence[bool]) -> list[Any]:
    """The arguments with tensors cut off from the graph before them, so that a gradient ends at them."""
    detached = (a.detach() if isinstance(a, Tensor) else a for a in arguments)
    return [a.requires_grad_() if want else a for a, want in zip(detached, wanted, strict=True)]


def _gradient(function: Function, wanted: Sequence[bool], *given: Any) -> tuple[Tensor, ...]:
    """The gradients of `function` by its wanted arguments, which are followed by the gradients of its results."""
    arguments, outer = given[: len(wanted)], given[len(wanted) :]
    found = _pulled_back(function(*arguments), arguments, wanted, outer, create_graph=True)
    sources = (a for a, want in zip(arguments, wanted, strict=True) if want)
    return tuple(torch.zeros_like(s) if g is None else g for s, g in zip(sources, found, strict=True))


def _pulled_back(
    value: Any,
    arguments: Sequence[Any],
    wanted: Sequence[bool],
    outer: Sequence[Tensor],
    create_graph: bool,
    retain_graph: bool | None = None,
) -> tuple[Tensor | None, ...]:
    """A gradient for each wanted argument, None where none flows."""
    sources = [a for a, want in zip(arguments, wanted, strict=True) if want]
    values = value if isinstance(value, tuple) else (value,)
    pairs = [(v, o) for v, o in zip(values, outer, strict=True) if v.requires_grad]
    if not pairs:
        return (None,) * len(sources)
    results, outer = zip(*pairs, strict=True)
    return torch.autograd.grad(results, sources, outer, retain_graph, create_graph, allow_unused=True)
