"""What a run directory says of how its search began, and what may have changed when it goes on.

The configuration lies there twice: `config.toml` as it was given, which a user may edit, and `resolved.json` with
everything written out. `begun.json` keeps what `config.toml` and `env.json` said, and digests of the user's files, so
that an edit shows.
"""

from __future__ import annotations

import json
import logging
import os
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any

from lossearch.archive.run_directory import RunDirectory, describe_environment
from lossearch.engine.setup.begun_files import Digests, check_unchanged, digests_of
from lossearch.engine.setup.config import (
    SearchConfig,
    is_space_file,
    parse_written,
    space_field,
    validate,
    with_paths,
)
from lossearch.engine.setup.functions import functions_of
from lossearch.errors import UserError
from lossearch.files import write_atomically
from lossearch.reading import parse_json, read_text
from lossearch.tasks.user.function import is_file_reference
from lossearch.tasks.user.pickled_function import SUFFIX
from lossearch.tasks.user.task import short_name

_LOG = logging.getLogger(__name__)

RESOLVED = "resolved.json"
"""The configuration with everything written out; paths are as given, relative to the folder of the configuration."""

BEGUN = "begun.json"

CHANGEABLE = (
    "islands",
    "generations",
    "max_candidates",
    "max_budget",
    "time_limit_s",
    "max_restarts",
    "evaluation.time_limit_s",
    "evaluation.device",
    "evaluation.concurrent",
    "resources.cpu",
    "resources.gpu",
    "logging.callbacks",
    "race.candidates",
    "race.seeds",
    "race.steps",
    "race.simplify",
)
"""Fields that may be edited before a search goes on: how far it goes, by how many islands, where its trainings
run, where it is logged, who races at its end, and how the winner is read back."""

_ELSEWHERE = ("evaluation.concurrent", "resources.cpu", "resources.gpu")
"""Those of them that may not begin or cease to move trainings out of islands: that changes the order of proposals."""

_RESTORE = "restore it from a copy"


@dataclass(frozen=True)
class ScriptChange:
    """A change of the training script that somebody accepted.

    Attributes:
        files: what was changed, in words, such as "train.py was changed".
        candidates: how many the archive held by then: their scores are of the script before.
    """

    files: tuple[str, ...]
    candidates: int


@dataclass(frozen=True)
class Begun:
    """How a search began.

    Attributes:
        given: text of `config.toml`. Versions may differ in their defaults: the edited text is compared with this one
            as today's version reads both.
        folder: of the configuration, relative to the run directory.
        environment: content of `env.json`.
        files: digests of the user's files; empty in a run of an earlier version.
        changes: of the training script that were accepted since.
    """

    given: str
    folder: str
    environment: Mapping[str, Any]
    files: Digests = field(default_factory=dict)
    changes: tuple[ScriptChange, ...] = ()

    def to_json(self) -> str:
        """The record; `_read` reads it back."""
        return json.dumps(asdict(self), indent=2) + "\n"


def write_beginning(draft: RunDirectory, run: Path, resolved: SearchConfig, folder: Path, files: Digests) -> None:
    """Write how a search begins into the directory that will be moved to `run`; `folder` is the configuration's."""
    begun = Begun(draft.config_text(), os.path.relpath(folder.resolve(), run.resolve()), _environment(draft), files)
    write_atomically(draft.path / BEGUN, begun.to_json())
    write_atomically(draft.path / RESOLVED, resolved.to_json())


def write_continuation(run: RunDirectory, resolved: SearchConfig, files: Digests, change: ScriptChange | None) -> None:
    """Write with what configuration and files a search goes on, and what change of its script was accepted."""
    if (begun := _read(run)) is not None:
        changes = begun.changes if change is None else (*begun.changes, change)
        begun = replace(begun, given=run.config_text(), files=files, changes=changes)
        write_atomically(run.path / BEGUN, begun.to_json())
    write_atomically(run.path / RESOLVED, resolved.to_json())


def accepted_changes(run: RunDirectory) -> tuple[ScriptChange, ...]:
    """The changes of the training script with which the search went on."""
    begun = _read(run)
    return () if begun is None else begun.changes


def files_now(run: RunDirectory, located: SearchConfig, changed_script: bool) -> tuple[Digests, list[str]]:
    """The digests of the user's files as they are now, and what was changed of the script since the search began.

    Args:
        run: the run.
        located: its configuration with absolute paths.
        changed_script: whether a changed script is accepted.

    Raises:
        UserError: a file was changed that decides the results.
    """
    begun, files = _read(run), digests_of(located)
    if begun is None or not begun.files:  # of an earlier version, which kept none
        return files, []
    return files, check_unchanged(begun.files, files, changed_script)


def continued(run: RunDirectory) -> SearchConfig:
    """The configuration of a search that goes on: as it began, with what was edited since and may be.

    Raises:
        UserError: the search was never begun, or something was edited that decides its results.
    """
    path = run.path / RESOLVED
    if not path.is_file():
        raise UserError(f"the file {path}", "none", "the run was never begun: delete its directory and search anew")
    text = read_text(path, "the configuration as it was resolved", _RESTORE)
    resolved, begun = SearchConfig.parse_json(text, str(path)), _read(run)
    if begun is None:  # of an earlier version, which kept absolute paths and did not look for edits
        return resolved
    given, edited = parse_written(begun.given, str(run.path / BEGUN)), parse_written(run.config_text(), str(run.config))
    _check_environment(run, begun)
    return _with_edits(resolved, given, edited, run)


def _read(run: RunDirectory) -> Begun | None:
    path = run.path / BEGUN
    if not path.is_file():
        return None
    document = parse_json(read_text(path, "how the search began", _RESTORE), f"{path} as it was written", _RESTORE)
    fields = {"given": str, "folder": str, "environment": dict}
    for name, kind in fields.items():
        if not isinstance(document, dict) or not isinstance(document.get(name), kind):
            raise UserError(f"{path} as it was written", f"no {name}", _RESTORE)
    return Begun(
        document["given"],
        document["folder"],
        document["environment"],
        _files(document.get("files", {}), path),
        _changes(document.get("changes", []), path),
    )


def _files(found: Any, path: Path) -> Digests:
    if isinstance(found, dict) and all(isinstance(digests, dict) for digests in found.values()):
        return found
    raise UserError(f"{path} as it was written", "files that are no table of tables", _RESTORE)


def _changes(found: Any, path: Path) -> tuple[ScriptChange, ...]:
    try:
        return tuple(ScriptChange(tuple(map(str, one["files"])), int(one["candidates"])) for one in found)
    except (TypeError, KeyError, ValueError) as error:
        raise UserError(f"{path} as it was written", f"changes: {type(error).__name__}: {error}", _RESTORE) from error


# Edits


def _with_edits(resolved: SearchConfig, given: SearchConfig, edited: SearchConfig, run: RunDirectory) -> SearchConfig:
    """The resolved configuration with what differs between what was given and what is written now."""
    before, now = flat(given.model_dump(mode="json")), flat(edited.model_dump(mode="json"))
    changed = [name for name in {**before, **now} if before.get(name) != now.get(name)]
    moves_trainings = (given.elsewhere is None) != (edited.elsewhere is None)
    changeable = CHANGEABLE if not moves_trainings else [name for name in CHANGEABLE if name not in _ELSEWHERE]
    fixed = [name for name in changed if name not in changeable and not _only_moved(name, given, edited)]
    if fixed:
        found = ", ".join(f"{name} = {now.get(name)!r:.60} instead of {before.get(name)!r:.60}" for name in fixed)
        raise UserError(
            f"a search that goes on with {', '.join(fixed)} as it began, since its results depend on that",
            f"{found} in {run.config}",
            f"write the old values back ({', '.join(CHANGEABLE)} may be changed), or search anew",
        )
    values = resolved.model_dump(mode="json")
    for name in changed:
        *tables, last = name.split(".")
        if tables == ["resources"]:  # which need not have been there before, or is gone
            values["resources"] = edited.model_dump(mode="json")["resources"]
            continue
        table = values
        for one in tables:
            table = table[one]
        if now.get(name) is not None or name != "islands":  # as many as before, where none are asked for
            table[last] = now.get(name)
    return validate(values, str(run.config)) if changed else resolved


def _only_moved(name: str, given: SearchConfig, edited: SearchConfig) -> bool:
    """Whether a path leads to a file of the same name: that is where the file is now."""
    table = name.removesuffix(".function")
    old, new = functions_of(given.task).get(table), functions_of(edited.task).get(table)
    if table != name and table.count(".") in (0, 3) and old is not None and new is not None:
        return short_name(old.function) == short_name(new.function)
    places = {space_field(slot): (one, edited.spaces.get(slot, "")) for slot, one in given.spaces.items()}
    before, now = places.get(name, ("", ""))
    return is_space_file(now) and Path(before).name == Path(now).name


def flat(values: Mapping[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as one, by dotted names."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, Mapping):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[f"{prefix}{key}"] = value
    return found


# Environment


def _environment(run: RunDirectory) -> dict[str, Any]:
    required = f"{run.environment.name} as the search wrote it"
    found = parse_json(read_text(run.environment, required, _RESTORE), required, _RESTORE)
    if not isinstance(found, dict):
        raise UserError(required, f"a {type(found).__name__}", _RESTORE)
    return found


def _check_environment(run: RunDirectory, begun: Begun) -> None:
    """Refuse an edited record of versions, and say where the versions of today are others."""
    if run.environment.exists():
        found = _environment(run)
        names = [name for name in {**begun.environment, **found} if begun.environment.get(name) != found.get(name)]
        if names:
            pairs = (f"{name} {found.get(name)!r} instead of {begun.environment.get(name)!r}" for name in names)
            required = f"{run.environment} as the search wrote it: it records versions, and sets none"
            raise UserError(required, ", ".join(pairs), "write the old values back, or delete the file")
    today = describe_environment()
    others = [f"{name} {begun.environment.get(name)}, now {today[name]}" for name in ("lossearch", "python", "torch")
              if begun.environment.get(name) != today[name]]  # fmt: skip
    if others:
        _LOG.warning("the search began with %s: results may differ", "; ".join(others))


# Paths


def _working_folder(function: str, path: str, folders: Sequence[Path]) -> str:
    """Where a training function runs: as seen from the folder in which its file is found, else from the first one."""
    place = function.rpartition(":")[0]
    file = place if is_file_reference(function) else f"{place.replace('.', '/')}.py"
    beside = [folder for folder in folders if (folder / file).is_file()]
    places = [os.path.normpath(folder / path) for folder in (*beside, *folders)]
    return next(filter(os.path.isdir, places), places[0])


def located(config: SearchConfig, run: RunDirectory) -> SearchConfig:
    """The configuration with absolute paths, each where its file is found now.

    Looked for are the folder in which the configuration lay when the search began, as seen from the run directory; the
    run directory; and the working directory. Raises `UserError` if a file is in none of them.
    """
    begun = _read(run)
    folders = [*([] if begun is None else [(run.path / begun.folder).resolve()]), run.path.resolve(), Path.cwd()]

    named = functions_of(config.task, held_out=True)

    def locate(field: str, path: str) -> str:
        if path.endswith(SUFFIX):  # pickled into the run
            return str(run.path.resolve() / Path(path).name)
        if field.startswith("task.") and field.endswith(".folder"):
            return _working_folder(named[field.removesuffix(".folder")].function, path, folders)
        if field == "method.folder":
            places = [os.path.normpath(folder / path) for folder in folders]
            return next(filter(os.path.isdir, places), places[0])
        looked = [*(folder / path for folder in folders), *(folder / Path(path).name for folder in folders)]
        places = list(dict.fromkeys(os.path.normpath(place) for place in looked))
        found = next(filter(os.path.isfile, places), None)
        if found is None:
            raise UserError(
                f"the file {Path(path).name} that {field} names",
                f"no file {', '.join(places)}",
                f"put it beside {run.config}, or correct {field} there",
            )
        return found

    return with_paths(config, locate)
