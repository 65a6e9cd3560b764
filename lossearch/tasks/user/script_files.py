"""The files that decide what a training function does: its script, and modules of its own folder that it imports."""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Protocol

from lossearch.reading import read_bytes
from lossearch.tasks.user.function import is_file_reference
from lossearch.tasks.user.pickled_function import SUFFIX, read_pickled

_LARGEST = 10_000_000


class NamesFunction(Protocol):
    """What names a function and the folder that it runs in, such as `FunctionConfig`."""

    @property
    def function(self) -> str:
        """Its reference."""
        ...

    @property
    def folder(self) -> str:
        """Where it runs."""
        ...


def script_files(task: NamesFunction) -> dict[str, Path]:
    """The script and, transitively, the modules of its own folder and of the working folder that it imports."""
    place, folder = task.function.rpartition(":")[0], Path(task.folder)
    if is_file_reference(task.function):
        script = Path(place)
        folders = [script.parent, folder]
    else:
        folders = [folder, Path.cwd()]
        script = next(_files_of(place, folders), None) or _installed(place)
        if script is None:
            return {}
    if not any(script.is_relative_to(one) for one in folders) or script.suffix != ".py":
        return {script.name: script}  # installed, with a version of its own, or pickled
    found: dict[Path, None] = {}
    waiting = [script]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found[one] = None
            waiting += (path for path in _imported(one, folders) if any(map(path.is_relative_to, folders)))
    return {_name(path, folders): path for path in found}


def _name(path: Path, folders: Sequence[Path]) -> str:
    return next(path.relative_to(folder).as_posix() for folder in folders if path.is_relative_to(folder))


def _installed(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return None if spec is None or spec.origin is None or not os.path.isfile(spec.origin) else Path(spec.origin)


def _imported(script: Path, folders: Sequence[Path]) -> Iterator[Path]:
    """The files in `folders` that a script's import statements lead to; nothing is run."""
    try:
        tree = ast.parse(read_bytes(script, "a Python file", "mend it", _LARGEST))
    except (SyntaxError, ValueError, RecursionError):
        return  # whoever imports it learns why
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files_of(alias.name, folders)
        elif isinstance(node, ast.ImportFrom):
            where = folders if not node.level else [script.parents[min(node.level, len(script.parents)) - 1]]
            if node.module:
                yield from _files_of(node.module, where)
            for alias in node.names:
                yield from _files_of(f"{node.module}.{alias.name}" if node.module else alias.name, where)


def _files_of(module: str, folders: Sequence[Path]) -> Iterator[Path]:
    """The file of a module in the first of the folders that has it, then those of the packages around it."""
    parts = module.split(".")
    if parts[0] == "lossearch":  # its version is recorded
        return
    for depth in range(len(parts), 0, -1):
        inside = Path(*parts[:depth])
        places = (folder / name for folder in folders for name in (inside.with_suffix(".py"), inside / "__init__.py"))
        if (found := next(filter(os.path.isfile, places), None)) is not None:
            yield found


def digest(path: Path) -> str:
    """SHA-256 of a file's content."""
    if path.suffix == SUFFIX:
        return hashlib.sha256(read_pickled(path)).hexdigest()
    what = "a file with which the search was begun"
    return hashlib.sha256(read_bytes(path, what, "restore it from a copy", _LARGEST)).hexdigest()
