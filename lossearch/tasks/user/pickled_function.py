"""A training function without a place that another process could import it from, kept as a pickle.

Functions of notebook cells, closures, partials and bound methods are pickled by value, with what they refer to. A
pickle runs code as it is read: only the process that runs the user's function does so (`lossearch.tasks.user.worker`);
every other one looks at no more than the line before it.
"""

from __future__ import annotations

import json
import pickle
import sys
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lossearch.errors import UserError

SUFFIX = ".pickle"
"""Of a file with a function; its reference is `path/to/file.pickle:name`."""

_LONGEST_HEAD = 100_000  # bytes of the line before the pickle
_PYTHON = f"{sys.version_info.major}.{sys.version_info.minor}"
_ADVICE = "put the function into a file and give 'path/to/file.py:function'"


@dataclass(frozen=True)
class Head:
    """What is known of a pickled function without reading the pickle.

    Attributes:
        name: What the function is called.
        python: Version of Python that pickled it: no other one can read a function's code.
        path: Folders from which what the function imports was found.
    """

    name: str
    python: str
    path: tuple[str, ...]


def pickled(function: Callable[..., Any]) -> bytes:
    """A line about the function, and its pickle.

    Raises:
        UserError: It refers to something that cannot be sent to another process, such as an open file.
    """
    from ray.cloudpickle import cloudpickle  # takes a second, which only those who need it should wait for

    try:
        body = cloudpickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError, ValueError, NotImplementedError, RecursionError) as error:
        raise UserError(
            "a training function that can be sent to a process of its own, with everything that it refers to",
            f"{function!r:.200}: {error}",
            f"make in it what cannot be sent, such as open files, locks and iterators, or {_ADVICE}",
        ) from error
    head = Head(name_of(function), _PYTHON, tuple(str(Path(entry).resolve()) for entry in sys.path))
    return json.dumps(asdict(head)).encode() + b"\n" + body


def name_of(function: object) -> str:
    """What a function is called: a partial as the function in it, an object as its class."""
    inner = getattr(function, "func", None)
    if inner is not None and not hasattr(function, "__name__"):
        return name_of(inner)
    name = str(getattr(function, "__name__", type(function).__name__))
    return name if name.isidentifier() else "function"


def is_pickled(reference: str) -> bool:
    """Whether a reference names a pickled function."""
    return reference.rpartition(":")[0].endswith(SUFFIX)


def prepare_to_unpickle() -> None:
    """Import what every pickled function needs, which takes a second; reads no pickle."""
    import ray.cloudpickle  # noqa: F401


def read_pickled(path: Path) -> bytes:
    """The content of a file that holds a pickled function; the pickle is not read."""
    try:
        return path.read_bytes()
    except OSError as error:
        found = f"{error.strerror} ({path})"
        raise UserError("the file with the pickled training function", found, f"restore it, or {_ADVICE}") from error


def checked_head(content: bytes) -> Head:
    """The line before the pickle; raises `UserError` where this Python cannot read what follows."""
    first, _, body = content.partition(b"\n")
    try:
        if len(first) > _LONGEST_HEAD or not body:
            raise ValueError("no line before a pickle")
        values = json.loads(first)
        head = Head(str(values["name"]), str(values["python"]), tuple(map(str, values["path"])))
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        found = f"{type(error).__name__}: {error}"[:200]
        raise UserError(
            "a training function that lossearch pickled", found, f"restore the file, or {_ADVICE}"
        ) from None
    if head.python != _PYTHON:
        raise UserError(
            f"Python {head.python}, which pickled the training function {head.name}",
            f"Python {_PYTHON}",
            f"go on with Python {head.python}, or begin a new search: {_ADVICE}",
        )
    return head


def unpickled(content: bytes) -> Callable[..., Any]:
    """The function. Runs code of the pickle: for the process of the user's function alone.

    Raises:
        UserError: What the function refers to is missing here.
    """
    head = checked_head(content)
    # At the end: the folders of this process come first.
    sys.path.extend(folder for folder in head.path if folder not in sys.path)
    try:
        return pickle.loads(content.partition(b"\n")[2])
    except Exception as error:  # a pickle imports modules and calls what it names, which may raise anything
        raise UserError(
            f"all that the training function {head.name} refers to",
            f"{type(error).__name__}: {error}",
            f"run from where its modules can be imported, or {_ADVICE}",
        ) from error
