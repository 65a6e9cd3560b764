"""The user's files that decide the results of a search, by their digests: what was changed since it began shows.

These are the file of the search space, files of seeds, and the training script with the modules of its own folder that
it imports. What is installed is not among them: versions are recorded in `env.json`.
"""

from __future__ import annotations

import ast
import hashlib
import importlib.util
import os
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

from lossearch.engine.setup.config import FunctionConfig, SearchConfig
from lossearch.errors import UserError
from lossearch.reading import read_bytes
from lossearch.search_spaces.seeds import is_file
from lossearch.search_spaces.space import read_space
from lossearch.tasks.user.function import is_file_reference
from lossearch.tasks.user.pickled_function import SUFFIX, read_pickled

SCRIPT = "task.function"
"""The field whose files are the training script and what it imports."""

Digests = Mapping[str, Mapping[str, str]]
"""SHA-256 of files, by the field of the configuration that leads to them and by their names."""

_LARGEST = 10_000_000


def digests_of(config: SearchConfig) -> dict[str, dict[str, str]]:
    """The digests of the files that a configuration with absolute paths leads to. Names tell no absolute folder."""
    found = {
        "space": _space_files(Path(config.space)) if config.space.endswith(".toml") else {},
        "seeds": {Path(seed).name: Path(seed) for seed in config.seeds if is_file(seed)},
        SCRIPT: _script_files(config.task) if isinstance(config.task, FunctionConfig) else {},
    }
    return {field: {name: _digest(path) for name, path in files.items()} for field, files in found.items() if files}


def changes(before: Digests, now: Digests) -> dict[str, list[str]]:
    """What differs, in words: a sentence's part for each file, by field."""
    found: dict[str, list[str]] = {}
    for field in {**before, **now}:
        old, new = before.get(field, {}), now.get(field, {})
        for name in sorted({*old, *new}):
            if old.get(name) != new.get(name):
                what = "was changed" if name in old and name in new else "is new" if name in new else "is gone"
                found.setdefault(field, []).append(f"{name} {what}")
    return found


def check_unchanged(before: Digests, now: Digests, accept_script: bool) -> list[str]:
    """What was changed of the training script, where that is accepted.

    Raises:
        UserError: another file than the script's was changed, or the script was and that is not accepted.
    """
    found = changes(before, now)
    script = found.pop(SCRIPT, [])
    if found:
        told = "; ".join(f"{what} ({field})" for field, parts in found.items() for what in parts)
        raise UserError(
            "the search space and the seeds as they were when the search began, since its results depend on them",
            told,
            "restore the file, or begin a new search with the changed one",
        )
    if script and not accept_script:
        raise UserError(
            "the training script, with the modules beside it that it imports, as it was when the search began: scores"
            " of another script do not compare with those that the archive has",
            "; ".join(script),
            "restore it, or begin a new search; if the change decides no score, such as a comment or a print, accept it"
            " with --changed-script (in Python changed_script=True), which the run records",
        )
    return script


def _digest(path: Path) -> str:
    if path.suffix == SUFFIX:
        return hashlib.sha256(read_pickled(path)).hexdigest()
    what = "a file with which the search was begun"
    return hashlib.sha256(read_bytes(path, what, "restore it from a copy", _LARGEST)).hexdigest()


def _space_files(space: Path) -> dict[str, Path]:
    seeds = [seed for seed in read_space(space).seeds if is_file(seed)]
    return {space.name: space, **{seed: space.parent / seed for seed in seeds}}


# The training script


def _script_files(task: FunctionConfig) -> dict[str, Path]:
    """The script and, transitively, the modules of its own folder and of the working folder that it imports."""
    place, folder = task.function.rpartition(":")[0], Path(task.folder)
    if is_file_reference(task.function):
        script = Path(place)
        folders = [script.parent, folder]
    else:
        folders = [folder, Path.cwd()]
        script = next(_files_of(place, folders), None) or _installed(place)
        if script is None:
            return {}
    if not any(script.is_relative_to(one) for one in folders) or script.suffix != ".py":
        return {script.name: script}  # installed, with a version of its own, or pickled
    found: dict[Path, None] = {}
    waiting = [script]
    while waiting:
        one = waiting.pop()
        if one not in found:
            found[one] = None
            waiting += (path for path in _imported(one, folders) if any(map(path.is_relative_to, folders)))
    return {_name(path, folders): path for path in found}


def _name(path: Path, folders: Sequence[Path]) -> str:
    return next(path.relative_to(folder).as_posix() for folder in folders if path.is_relative_to(folder))


def _installed(module: str) -> Path | None:
    try:
        spec = importlib.util.find_spec(module)
    except (ImportError, ValueError):
        return None
    return None if spec is None or spec.origin is None or not os.path.isfile(spec.origin) else Path(spec.origin)


def _imported(script: Path, folders: Sequence[Path]) -> Iterator[Path]:
    """The files in `folders` that a script's import statements lead to; nothing is run."""
    try:
        tree = ast.parse(read_bytes(script, "a Python file", "mend it", _LARGEST))
    except (SyntaxError, ValueError, RecursionError):
        return  # whoever imports it learns why
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield from _files_of(alias.name, folders)
        elif isinstance(node, ast.ImportFrom):
            where = folders if not node.level else [script.parents[min(node.level, len(script.parents)) - 1]]
            if node.module:
                yield from _files_of(node.module, where)
            for alias in node.names:
                yield from _files_of(f"{node.module}.{alias.name}" if node.module else alias.name, where)


def _files_of(module: str, folders: Sequence[Path]) -> Iterator[Path]:
    """The file of a module in the first of the folders that has it, then those of the packages around it."""
    parts = module.split(".")
    if parts[0] == "lossearch":  # its version is recorded
        return
    for depth in range(len(parts), 0, -1):
        inside = Path(*parts[:depth])
        places = (folder / name for folder in folders for name in (inside.with_suffix(".py"), inside / "__init__.py"))
        if (found := next(filter(os.path.isfile, places), None)) is not None:
            yield found
