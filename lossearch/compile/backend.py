"""One interface to every way of running emitted source."""

from __future__ import annotations

import linecache
import math
import weakref
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, List, Literal, get_args  # noqa: UP035 (as emitted source spells it)

import torch
import torch.nn.functional as F
from torch import Tensor

from lossearch.compile import inductor, torchscript
from lossearch.compile.source import Source
from lossearch.errors import UserError

Backend = Literal["eager", "torchscript", "compile"]
Function = Callable[..., Any]

KEPT = 1024
"""How many compiled functions are kept for reuse."""

_compiled: OrderedDict[tuple[str, Backend], Function] = OrderedDict()


def check_backend(backend: str) -> Backend:
    """Return `backend` if it exists."""
    for known in get_args(Backend):
        if backend == known:
            return known
    raise UserError(f"a backend among {', '.join(get_args(Backend))}", repr(backend), "correct `backend`")


def compile_source(source: Source, backend: Backend = "eager") -> Function:
    """The function that a source describes, on a backend; equal sources give the same function.

    It takes tensors and numbers in the order of `source.arguments`.
    """
    key = (source.key, backend)
    found = _compiled.get(key)
    if found is None:
        found = _compiled[key] = _compile(source, backend)
        if len(_compiled) > KEPT:
            _compiled.popitem(last=False)
    else:
        _compiled.move_to_end(key)
    return found


def _compile(source: Source, backend: Backend) -> Function:
    if backend == "torchscript":
        return torchscript.compile_function(source.text, source.name)
    eager = execute(source.text, f"<lossearch {source.key[:16]}>")[source.name]
    return inductor.compile_function(eager, source.scatters) if backend == "compile" else eager


def execute(text: str, filename: str) -> dict[str, Any]:
    """The names that emitted source defines; tracebacks show its lines while its functions live."""
    namespace: dict[str, Any] = {"torch": torch, "F": F, "math": math, "Tensor": Tensor, "List": List}  # noqa: UP006
    exec(compile(text, filename, "exec"), namespace)
    linecache.cache[filename] = (len(text), None, text.splitlines(keepends=True), filename)
    last = next(reversed(namespace.values()))
    weakref.finalize(last, linecache.cache.pop, filename, None)
    return namespace
