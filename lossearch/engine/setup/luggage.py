"""The user's files that travel with a search, so that nodes need not share a file system with who started it.

These are the files whose digests a run keeps (`begun_files.py`): the search space, seeds, and the training script with
the modules of its own folder that it imports, or the pickled function. Data does not travel.
"""

from __future__ import annotations

import atexit
import os
import shutil
import tempfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from lossearch.engine.setup.begun_files import files_of, is_script_field, script_field
from lossearch.engine.setup.config import SearchConfig, with_paths
from lossearch.errors import UserError


@dataclass(frozen=True)
class _Piece:
    """One file: below which folder and name it is unpacked, where it lies, and its content."""

    folder: str
    name: str
    path: str
    content: bytes

    @property
    def lies_here(self) -> bool:
        """Whether this machine has the same file at the same place."""
        try:
            return os.path.getsize(self.path) == len(self.content) and Path(self.path).read_bytes() == self.content
        except OSError:
            return False


@dataclass(frozen=True)
class Luggage:
    """The files of one configuration."""

    pieces: tuple[_Piece, ...]

    @classmethod
    def of(cls, config: SearchConfig) -> Luggage:
        """The files that a configuration with absolute paths leads to."""
        pieces = [
            _Piece(field, name, str(path), path.read_bytes())
            for field, files in files_of(config).items()
            for name, path in files.items()
        ]
        return cls(tuple(pieces))


def unpacked(config: SearchConfig, luggage: Luggage) -> tuple[SearchConfig, Sequence[str]]:
    """The configuration with paths that are good on this machine, and folders in which its modules are found.

    Where every file lies at its own place, as on one machine or a shared file system, nothing is unpacked. Elsewhere
    all are, into a temporary folder of this process. A training function runs in its own folder where there is such a
    one, which may hold its data, and otherwise beside the unpacked script.

    Raises:
        UserError: a file cannot be put into that folder.
    """
    if all(piece.lies_here for piece in luggage.pieces):
        return config, ()
    root = Path(tempfile.mkdtemp(prefix="lossearch-files-"))
    atexit.register(shutil.rmtree, root, ignore_errors=True)
    places = {piece.path: str(_write(root, piece)) for piece in luggage.pieces}

    def place(field: str, path: str) -> str:
        if field.startswith("task.") and field.endswith(".folder"):
            return path if os.path.isdir(path) else str(root / script_field(field.removesuffix(".folder")))
        return places.get(path, path)

    scripts = dict.fromkeys(piece.folder for piece in luggage.pieces if is_script_field(piece.folder))
    return with_paths(config, place), [str(root / folder) for folder in scripts]


def _write(root: Path, piece: _Piece) -> Path:
    target = Path(os.path.normpath(root / piece.folder / piece.name))
    if not target.is_relative_to(root):
        raise UserError("files of a search below the folder of its configuration", piece.name, "move it there")
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_bytes(piece.content)
    return target
