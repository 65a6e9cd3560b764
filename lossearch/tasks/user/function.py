"""Finding a user's own training function by name: `path/to/file.py:function` or `module:function`.

One without a name under which another process finds it is pickled, see `lossearch.tasks.user.pickled_function`.
"""

from __future__ import annotations

import importlib
import importlib.util
import inspect
import os
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

from lossearch.errors import UserError
from lossearch.tasks.user.calling import check_form
from lossearch.tasks.user.pickled_function import SUFFIX, checked_head, is_pickled, read_pickled, unpickled

_importing: list[Path] = []  # files of training functions whose import is under way
_REQUIRED = "a function named as path/to/file.py:function or module:function"


def load_function(reference: str) -> Callable[..., Any]:
    """The function that `reference` names. Its module is imported; a file's folder joins sys.path.

    A pickled one is unpickled, which runs code: for the process that runs the function only.

    Raises:
        UserError: the reference is malformed, the file or module is missing or fails to import, or there is
            no such function in it.
    """
    place, name = _parts(reference)
    if is_pickled(reference):
        return unpickled(read_pickled(Path(place)))
    try:
        module = _import_file(Path(place)) if place.endswith(".py") else _import_module(place)
    except UserError:
        raise
    except (Exception, SystemExit) as error:  # a script that ends the process as it is imported ends no search
        raise UserError(
            f"an importable module {place}",
            f"{type(error).__name__}: {error}",
            "mend the import, or run from the folder that it is found from",
        ) from error
    function = getattr(module, name, None)
    if function is None:
        known = [key for key, value in vars(module).items() if inspect.isfunction(value)]
        raise UserError(f"a function {name!r} in {place}", f"functions {known}", "correct the name after the colon")
    if not callable(function):
        raise UserError(f"a function {name!r} in {place}", f"a {type(function).__name__}", "name a function")
    return function


def check_function(reference: str) -> None:
    """Raise `UserError` where `reference` names nothing that trains.

    Of a pickled function only the line before it is looked at.
    """
    place, _ = _parts(reference)
    if is_pickled(reference):
        checked_head(read_pickled(Path(place)))
    else:
        check_form(load_function(reference))


def _parts(reference: str) -> tuple[str, str]:
    """Place and name of a function."""
    place, _, name = reference.rpartition(":")
    if not place or not name.isidentifier():
        raise UserError(_REQUIRED, repr(reference), "write, for example, train.py:train")
    return place, name


def is_reference(text: str) -> bool:
    """Whether a text names a function as `path/to/file.py:function` or `module:function`."""
    place, _, name = text.rpartition(":")
    return bool(place) and name.isidentifier()


def is_file_reference(reference: str) -> bool:
    """Whether a function is named by its file, whose path is relative to something, rather than by its module."""
    return reference.rpartition(":")[0].endswith((".py", SUFFIX))


def reference_to(function: Callable[..., Any]) -> str | None:
    """The reference under which another process finds `function`.

    None where there is none, as it is no module-level function of a file: a lambda, a closure, a partial, a bound
    method, or a function of a notebook cell.
    """
    name = getattr(function, "__qualname__", "")
    module = getattr(function, "__module__", "")
    if name.isidentifier():
        if module != "__main__" and getattr(sys.modules.get(module), name, None) is function:
            return f"{module}:{name}"
        try:
            file = inspect.getsourcefile(function)
        except TypeError:
            file = None
        if file is not None and Path(file).is_file():
            return f"{Path(file).resolve()}:{name}"
    return None


def _import_module(name: str) -> ModuleType:
    """A module, found from the working directory too, as `python -m` does."""
    if os.getcwd() not in sys.path:
        sys.path.append(os.getcwd())  # at the end: what is there must not take the place of a module that others import
        importlib.invalidate_caches()
    return importlib.import_module(name)


def _import_file(path: Path) -> ModuleType:
    if not path.is_file():
        raise UserError(f"a file {path}", f"no such file in {Path.cwd()}", "correct the path before the colon")
    resolved = path.resolve()
    spec = importlib.util.spec_from_file_location(resolved.stem, resolved)
    if spec is None or spec.loader is None:
        raise UserError(f"a Python file {path}", "a file that Python cannot import", "name a .py file")
    # As when Python runs the file as a script, so that it finds its neighbours.
    sys.path.insert(0, str(resolved.parent))
    module = importlib.util.module_from_spec(spec)
    sys.modules[resolved.stem] = module
    _importing.append(resolved)
    try:
        spec.loader.exec_module(module)
    finally:
        _importing.pop()
    return module


def check_not_importing() -> None:
    """Raise `UserError` where the file of a training function is being imported: its search must not start again."""
    if _importing:
        raise UserError(
            "a file that can be imported for its training function",
            f"{_importing[-1]}, which searches as it is imported",
            'put the search under `if __name__ == "__main__":`',
        )
