"""The user's files that decide the results of a search, by their digests: what was changed since it began shows.

These are the file of the search space, files of seeds, and the training script with the modules of its own folder that
it imports. What is installed is not among them: versions are recorded in `env.json`.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

from lossearch.engine.setup.config import SearchConfig, is_space_file, space_field
from lossearch.engine.setup.functions import functions_of
from lossearch.errors import UserError
from lossearch.search_spaces.seeds import is_file
from lossearch.search_spaces.space import read_space
from lossearch.tasks.user.script_files import digest, script_files


def script_field(table: str) -> str:
    """The field whose files are a training script and what it imports, of the table that names the function."""
    return f"{table}.function"


def is_script_field(field: str) -> bool:
    """Whether a field's files are a training script and what it imports."""
    return field.startswith("task.") and field.endswith(".function")


Digests = Mapping[str, Mapping[str, str]]
"""SHA-256 of files, by the field of the configuration that leads to them and by their names."""


def digests_of(config: SearchConfig) -> dict[str, dict[str, str]]:
    """The digests of the files that a configuration with absolute paths leads to, by field and name."""
    files = files_of(config).items()
    return {field: {name: digest(path) for name, path in found.items()} for field, found in files}


def files_of(config: SearchConfig) -> dict[str, dict[str, Path]]:
    """The files themselves, by field and name. Names tell no absolute folder."""
    found = {
        **{space_field(s): _space_files(Path(one)) for s, one in config.spaces.items() if is_space_file(one)},
        "seeds": {Path(seed).name: Path(seed) for seed in config.seeds if is_file(seed)},
        **{script_field(table): script_files(one) for table, one in functions_of(config.task).items()},
    }
    return {field: files for field, files in found.items() if files}


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
    script = [what for field in filter(is_script_field, list(found)) for what in found.pop(field)]
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


def _space_files(space: Path) -> dict[str, Path]:
    seeds = [seed for seed in read_space(space).seeds if is_file(seed)]
    return {space.name: space, **{seed: space.parent / seed for seed in seeds}}
