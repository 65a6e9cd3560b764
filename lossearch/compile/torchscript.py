"""TorchScript: the only module that knows it.

TorchScript is deprecated upstream; the notices that say so are kept from users here.
"""

from __future__ import annotations

import importlib.util
import math
import sys
import tempfile
import warnings
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager, nullcontext
from pathlib import Path
from typing import Any, List  # noqa: UP035 (TorchScript's string front end knows List)

import torch
import torch.nn.functional as F
from torch import Tensor, nn

_NAMES = {"math": math, "F": F, "Tensor": Tensor, "List": List}  # noqa: UP006
"""What emitted source refers to besides torch."""


is_tracing = torch.jit.is_tracing  # pyright: ignore[reportPrivateImportUsage]
"""Whether `torch.jit.trace` runs what calls this."""


@contextmanager
def quiet() -> Iterator[None]:
    """Hide the notices that TorchScript as a whole is deprecated."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", message=r".torch\.jit\.", category=DeprecationWarning)
        yield


def quiet_tracing() -> AbstractContextManager[object]:
    """Hide the notices that `torch.jit.trace` takes lengths for constants where a condition asks for one.

    What asks refuses wrong shapes, or chooses among ways to the same value.
    """
    if torch.compiler.is_compiling():
        return nullcontext()
    return _no_tracer_warnings()


@contextmanager
def _no_tracer_warnings() -> Iterator[None]:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", torch.jit.TracerWarning)  # pyright: ignore[reportPrivateImportUsage]
        yield


def compile_function(text: str, name: str) -> Callable[..., Any]:
    """The function `name` of emitted source, compiled."""
    with quiet():
        # The front end resolves names through a callback; globals of this module alone would hide a missing one.
        unit = torch.jit.CompilationUnit()
        unit.define(text, rcb=lambda symbol: torch if symbol == "torch" else _NAMES.get(symbol))
    return getattr(unit, name)


@contextmanager
def quick_start() -> Iterator[None]:
    """Run compiled functions as they are, without profiling and optimising them over their first calls.

    The first call then takes a fraction of a millisecond instead of tens; steady calls on a CPU take as long. Use it
    around the few calls that a candidate of a search gets. The setting is restored on leaving.
    """
    with torch.jit.optimized_execution(False):  # pyright: ignore[reportPrivateImportUsage]
        yield


@contextmanager
def _imported(text: str, class_name: str) -> Iterator[type[nn.Module]]:
    """A class from the source of a Python file, importable and with its source at hand, as scripting needs it."""
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / f"{class_name}.py"
        path.write_text(text, encoding="utf-8")
        spec = importlib.util.spec_from_file_location(f"lossearch_export_{class_name}", path)
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        sys.modules[spec.name] = module
        try:
            spec.loader.exec_module(module)
            yield getattr(module, class_name)
        finally:
            del sys.modules[spec.name]


def load_class(text: str, class_name: str) -> type[nn.Module]:
    """The module class that stands in the source of a Python file."""
    with _imported(text, class_name) as found:
        return found


def script_file(text: str, class_name: str, **options: Any) -> nn.Module:
    """A scripted instance of a module class that stands in the source of a Python file."""
    with _imported(text, class_name) as found, quiet():
        return torch.jit.script(found(**options))


def save(module: nn.Module, path: Path) -> None:
    """Write a scripted module for `torch.jit.load`."""
    with quiet():
        torch.jit.save(module, str(path))
