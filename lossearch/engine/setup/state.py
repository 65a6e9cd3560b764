"""An island's state: what a checkpoint holds, as one JSON document with a checksum."""

from __future__ import annotations

import hashlib
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from lossearch.engine.setup.digests import DigestSet
from lossearch.errors import UserError
from lossearch.reading import parse_json, read_text

FILE_NAME = "island.json"
_REQUIRED, _HINT = "an undamaged island state", "restore the checkpoint from a copy"
_LARGEST = 2_000_000_000
_VERSION = 3
_READABLE = (1, 2, 3)  # the first version said nothing of the archive, the second nothing of rungs and budgets


@dataclass
class IslandState:
    """All that an island's future depends on, and its totals so far.

    Attributes:
        island: which one.
        generation: the next one.
        method: the search method's own state.
        seen: keys and fingerprints of earlier candidates.
        audit_rng: state of the generator that picks rejected candidates to audit.
        archived: the archive's mark when this state was taken: a smaller one tells that the archive has lost results.
        rungs: what is known of earlier trainings, by which later ones are stopped; see `Rungs`.
        spent: budget of all calls of a training function so far.
        candidates: proposals so far.
        trained: candidates trained so far.
        training_seconds, screening_seconds, proposing_seconds, wall_seconds, cpu_seconds: as in `GenerationReport`.
    """

    island: int
    generation: int = 0
    method: dict[str, Any] = field(default_factory=dict)
    seen: DigestSet = field(default_factory=DigestSet)
    audit_rng: list[Any] = field(default_factory=list)
    archived: int = 0
    rungs: dict[str, Any] = field(default_factory=dict)
    spent: int = 0
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
        document = parse_json(text, _REQUIRED, _HINT)
        try:
            version, content = document["version"], document["state"]
            sound = document["sha256"] == _digest(content)
        except (KeyError, TypeError, AttributeError) as error:
            raise _damaged(f"{type(error).__name__}: {error}") from error
        if version not in _READABLE:
            raise _damaged(f"version {version!r}, not {_VERSION}")
        if not sound:
            raise _damaged("a checksum that does not match")
        values = json.loads(content)
        return cls(**{**values, "seen": DigestSet.unpack(values["seen"])})


@dataclass(frozen=True)
class SavedState:
    """The text of a state, and the file that it was read from."""

    text: str
    path: Path


@dataclass(frozen=True)
class Continuation:
    """Where the islands of a run go on.

    Attributes:
        states: each island's state; one without a state begins anew.
        gone_back: islands with a newer state, which the archive has fallen behind.
        ahead: the files of all states that the archive has fallen behind.
    """

    states: dict[int, SavedState]
    gone_back: tuple[int, ...] = ()
    ahead: tuple[Path, ...] = ()


def newest_states(checkpoints: Path, archived: int | None = None) -> Continuation:
    """Each island's newest sound state below a run's folder of checkpoints that the archive can continue.

    A kill in the middle of saving leaves a torn file; then the one before it counts. A power cut, or a copy of
    `archive.sqlite` without its `-wal`, leaves an archive that lacks results which the newest state takes for archived.
    An earlier state counts then, so that the island makes these results again.

    Args:
        checkpoints: the folder.
        archived: the archive's mark; None takes every state.
    """
    newest: dict[int, tuple[tuple[int, str], SavedState]] = {}
    ahead: dict[Path, IslandState] = {}
    for path in checkpoints.glob(f"*/*/*/{FILE_NAME}"):
        try:
            text = read_text(path, _REQUIRED, _HINT, _LARGEST)
            state = IslandState.loads(text)
        except UserError:
            continue
        if archived is not None and state.archived > archived:
            ahead[path] = state
            continue
        rank = (state.generation, path.as_posix())
        if state.island not in newest or rank > newest[state.island][0]:
            newest[state.island] = (rank, SavedState(text, path))
    states = {island: saved for island, (_, saved) in sorted(newest.items())}
    passed = {island: rank[0] for island, (rank, _) in newest.items()}
    gone_back = {one.island for one in ahead.values() if one.generation > passed.get(one.island, -1)}
    return Continuation(states, tuple(sorted(gone_back)), tuple(ahead))


def _digest(content: str) -> str:
    return hashlib.sha256(content.encode()).hexdigest()


def _damaged(found: str) -> UserError:
    return UserError(_REQUIRED, found, _HINT)
