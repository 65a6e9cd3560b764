"""Folders from which the processes of a search can import the user's code."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from lossearch.engine.setup.config import SearchConfig
from lossearch.tasks.user.config import FunctionConfig


def python_path(config: SearchConfig) -> tuple[str, ...]:
    """This process's own folder, and those of the user's function."""
    folders: Sequence[str] = [str(Path.cwd())]
    if isinstance(config.task, FunctionConfig):
        place = Path(config.task.function.rpartition(":")[0])
        own = [str(place.resolve().parent)] if place.suffix == ".py" else []
        folders = [*own, str(Path(config.task.folder).resolve()), *folders]
    return tuple(folders)
