"""The paths by which a configuration leads to a training function: its file, and the folder that it runs in."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from lossearch.tasks.user.function import is_file_reference
from lossearch.tasks.user.script_files import NamesFunction

Change = Callable[[str, str], str]
"""From the field that holds a path, and the path, to another path."""


@dataclass(frozen=True)
class Place:
    """What names a function and the folder that it runs in.

    Attributes:
        function: its reference.
        folder: where it runs.
    """

    function: str
    folder: str = "."


def placed(named: NamesFunction, change: Change, table: str = "task") -> dict[str, str]:
    """Other values of the fields `function` and `folder` of a table; a module's name stays as it is."""
    found = {"folder": change(f"{table}.folder", named.folder)}
    file, colon, name = named.function.rpartition(":")
    if is_file_reference(named.function):
        found["function"] = f"{change(f'{table}.function', file)}{colon}{name}"
    return found
