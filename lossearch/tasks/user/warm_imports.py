"""Packages that a user's function imports, imported once for all its calls.

A call runs in a process that is forked from the server. What it imports of installed packages it notes in a file; the
server imports the same before the next call, which finds it there. The user's own modules are not among it: each call
imports them anew, so that nothing leaks from one to the next through them.
"""

from __future__ import annotations

import contextlib
import importlib
import io
import json
import os
import sys
import sysconfig
import threading
from typing import IO

import torch

_FOLDERS = [sysconfig.get_path(kind) for kind in ("stdlib", "platstdlib", "purelib", "platlib")]
_INSTALLED = tuple({*_FOLDERS, *map(os.path.realpath, _FOLDERS)})  # an environment may lie behind a link


def imported_names() -> frozenset[str]:
    """The modules that this process has imported."""
    return frozenset(sys.modules)


def note_imports(file: IO[bytes], before: frozenset[str]) -> None:
    """Write the installed modules that were imported since, in the order in which they were begun.

    Nothing is noted where threads run besides the main one, or where CUDA is in use: an import may have begun that, and
    a process with either cannot be forked.
    """
    if threading.active_count() > 1 or torch.cuda.is_initialized():
        return
    names = [name for name in list(sys.modules) if name not in before and _is_installed(name)]
    file.write(json.dumps(names).encode())
    file.flush()


def read_noted(file: IO[bytes]) -> list[str]:
    """What a call noted."""
    file.seek(0)
    try:
        names = json.loads(file.read() or b"[]")
    except ValueError:  # the training wrote to files that are not its own
        return []
    return names if isinstance(names, list) else []


def import_noted(names: list[str]) -> None:
    """Import what a call noted, silently; what cannot be imported here is left to the calls."""
    with contextlib.redirect_stdout(io.StringIO()), contextlib.redirect_stderr(io.StringIO()):
        for name in names:
            try:
                importlib.import_module(name)
            except Exception:
                continue  # code of strangers, run ahead of time: whatever is wrong with it, the call will say


def _is_installed(name: str) -> bool:
    """Whether a module lies where packages are installed, and is found there by its name."""
    module = sys.modules.get(name)
    spec = getattr(module, "__spec__", None)
    origin = getattr(spec, "origin", None)
    if spec is None or spec.name != name or not isinstance(origin, str):
        return False
    return origin == "built-in" or origin.startswith(_INSTALLED)
