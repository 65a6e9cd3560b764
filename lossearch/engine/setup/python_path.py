"""Folders from which the processes of a search can import the user's code."""

from __future__ import annotations

from pathlib import Path

from lossearch.engine.setup.config import SearchConfig
from lossearch.engine.setup.functions import functions_of


def python_path(config: SearchConfig) -> tuple[str, ...]:
    """Those of the user's functions, and this process's own folder."""
    folders: list[str] = []
    for one in functions_of(config.task).values():
        place = Path(one.function.rpartition(":")[0])
        folders += [str(place.resolve().parent)] if place.suffix == ".py" else []
        folders.append(str(Path(one.folder).resolve()))
    return tuple(dict.fromkeys([*folders, str(Path.cwd())]))
