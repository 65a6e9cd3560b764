"""Figures as files: which formats, and nothing in them that depends on the time of day."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from lossearch.errors import UserError
from lossearch.files import storage_errors
from lossearch.reading import usable_path

if TYPE_CHECKING:
    from matplotlib.figure import Figure

SUFFIXES = (".png", ".svg", ".pdf")


def figure_path(path: str | Path) -> Path:
    """A place for a figure; raises `UserError` for a suffix that is no format."""
    path = usable_path(path, "a path for the figure")
    if path.suffix.lower() not in SUFFIXES:
        raise UserError(f"a file name ending in {', '.join(SUFFIXES)}", repr(path.name), "choose one of these formats")
    return path


def save_figure(figure: Figure, path: Path) -> None:
    """Write a figure without the time of day; raises `UserError` for a place that cannot be written."""
    metadata = {".svg": {"Date": None}, ".pdf": {"CreationDate": None}}.get(path.suffix.lower())
    with storage_errors(path):
        figure.savefig(path, dpi=160, metadata=metadata)
