"""An island's state: what a checkpoint holds, as one JSON document with a checksum."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lossearch.engine.digests import DigestSet
from lossearch.errors import UserError

FILE_NAME = "island.json"
_VERSION = 1


@dataclass
class IslandState:
    """All that an island's future depends on, and its totals so far.

    Attributes:
        island: which one.
        generation: the next one.
        method: the search method's own state.
        seen: keys and fingerprints of earlier candidates.
        audit_rng: state of the generator that picks rejected candidates to audit.
        candidates: proposals so far.
        trained: candidates trained so far.
        training_seconds, screening_seconds, proposing_seconds, wall_seconds, cpu_seconds: as in `GenerationReport`.
    """

    island: int
    generation: int = 0
    method: dict[str, Any] = field(default_factory=dict)
    seen: DigestSet = field(default_factory=DigestSet)
    audit_rng: list[Any] = field(default_factory=list)
    candidates: int = 0
    trained: int = 0
    training_seconds: float = 0.0
    screening_seconds: float = 0.0
    proposing_seconds: float = 0.0
    wall_seconds: float = 0.0
    cpu_seconds: float = 0.0

    def dumps(self) -> str:
        """The state as text; `loads` reads it back."""
        content = json.dumps({**self.__dict__, "seen": self.seen.pack()}, separators=(",", ":"))
        return json.dumps({"version": _VERSION, "sha256": _digest(content), "state": content})

    @classmethod
    def loads(cls, text: str) -> IslandState:
        """The state in a text; raises `UserError` if it is truncated, changed, or from a newer version."""
        try:
            document = json.loads(text)
            version, content = document["version"], document["state"]
            sound = document["sha256"] == _digest(content)
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(f"{type(error).__name__}: {error}") from error
        if version != _VERSION:
            raise _damaged(f"version {version}, not {_VERSION}")
        if not sound:
            raise _damaged("a checksum that does not match")
        values = json.loads(content)
        return cls(**{**values, "seen": DigestSet.unpack(values["seen"])})


@dataclass(frozen=True)
class SavedState:
    """The text of a state, and the file that it was read from."""

    text: str
    path: Path


def newest_states(checkpoints: Path) -> dict[int, SavedState]:
    """Each island's newest sound state below a run's folder of checkpoints.

    A kill in the middle of saving leaves a torn file; then the one before it counts.
    """
    newest: dict[int, tuple[tuple[int, str], SavedState]] = {}
    for path in checkpoints.glob(f"*/*/*/{FILE_NAME}"):
        text = path.read_text(encoding="utf-8", errors="replace")
        try:
            state = IslandState.loads(text)
        except UserError:
            continue
        rank = (state.generation, path.as_posix())
        if state.island not in newest or rank > newest[state.island][0]:
            newest[state.island] = (rank, SavedState(text, path))
    return {island: saved for island, (_, saved) in sorted(newest.items())}


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _damaged(found: str) -> UserError:
    return UserError("an undamaged island state", found, "restore the checkpoint from a copy")
