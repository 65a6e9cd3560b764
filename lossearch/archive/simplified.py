"""Shorter forms of a run's losses, in `simplified.json` beside the archive: what was scored stays as it is."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from lossearch.archive.run_directory import RunDirectory
from lossearch.errors import UserError
from lossearch.files import write_atomically
from lossearch.joint_loss import AnyLoss, loss_from_json
from lossearch.reading import parse_json, read_text

FILE = "simplified.json"
AGAIN = "run `lossearch simplify` again"


@dataclass(frozen=True)
class Shorter:
    """The shorter form of one loss.

    Attributes:
        document: the loss, in its exchange form.
        exact: text of the exact form, from which evidence began.
        holds: where exact form and original are equal, in words.
        evidence: what was trained: task, metric, seeds, margin, attempts; None where nothing was.
    """

    document: str
    exact: str
    holds: str
    evidence: Mapping[str, Any] | None = None

    @property
    def loss(self) -> AnyLoss:
        """The loss itself; raises `UserError` where the document is damaged."""
        return loss_from_json(self.document)

    @property
    def how(self) -> str:
        """How it is known to serve as well as the original, in words."""
        if self.evidence is None:
            return self.holds
        task, seeds = self.evidence.get("task"), self.evidence.get("seeds")
        return f"no worse than the original on {task}, over {seeds} paired seeds on validation"


def place(run: RunDirectory) -> Path:
    """Where the shorter forms of a run lie."""
    return run.path / FILE


def keep_shorter(run: RunDirectory, key: str, shorter: Shorter) -> None:
    """Write the shorter form of the loss with this key, beside those of other losses."""
    document = {**_documents(run), key: asdict(shorter)}
    write_atomically(place(run), json.dumps(document, indent=2, ensure_ascii=False) + "\n", AGAIN)


def shorter_of(run: RunDirectory, key: str) -> Shorter | None:
    """The shorter form of the loss with this key; None where none was sought, or nothing shorter was found.

    Raises:
        UserError: the file is damaged.
    """
    found = _documents(run).get(key)
    if found is None:
        return None
    shorter = Shorter(**found)
    return None if shorter.loss.key == key else shorter


def was_sought(run: RunDirectory, key: str, evidence: bool) -> bool:
    """Whether a shorter form of the loss with this key was sought, with `evidence` also by trainings.

    Raises:
        UserError: the file is damaged.
    """
    found = _documents(run).get(key)
    return found is not None and (found["evidence"] is not None or not evidence)


def _documents(run: RunDirectory) -> dict[str, dict[str, Any]]:
    path = place(run)
    if not path.exists():
        return {}
    what, hint = "shorter forms of the run's losses", f"delete it, and {AGAIN}"
    found = parse_json(read_text(path, what, hint), f"{what} in {path}", hint, infinite=True)
    fields = {"document": str, "exact": str, "holds": str}
    if not isinstance(found, dict):
        raise _damaged(path, type(found).__name__)
    for key, one in found.items():
        sound = isinstance(one, dict) and one.keys() == {*fields, "evidence"}
        if not sound or not all(isinstance(one[name], kind) for name, kind in fields.items()):
            raise _damaged(path, f"the entry {key[:16]!r}")
        if one["evidence"] is not None and not isinstance(one["evidence"], dict):
            raise _damaged(path, f"the evidence of {key[:16]!r}")
    return found


def _damaged(path: Path, found: str) -> UserError:
    return UserError("an undamaged file of shorter forms", f"{found[:120]} ({path})", f"delete it, and {AGAIN}")
