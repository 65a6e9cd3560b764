"""The configuration that a search is given: a file, a mapping or an object, and the function that may come with it."""

from __future__ import annotations

import tempfile
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossearch.engine.setup.config import SearchConfig, anchored, parse_written, read_config, with_paths
from lossearch.engine.setup.toml_form import to_toml
from lossearch.errors import UserError
from lossearch.reading import check_values
from lossearch.tasks.user.config import FunctionConfig
from lossearch.tasks.user.function import reference_to
from lossearch.tasks.user.pickled_function import SUFFIX, name_of, pickled, read_pickled

PICKLED = f"function{SUFFIX}"
"""The file of a run directory that holds a training function which is in no file of the user's."""

ConfigSource = str | Path | Mapping[str, Any] | SearchConfig

_EXAMPLE = '{"task": {"function": train, "metric": "accuracy"}, "generations": 10, "evaluation": {"steps": 20}}'


@dataclass(frozen=True)
class Given:
    """A configuration as it was given.

    Attributes:
        config: with paths as they are written.
        text: in TOML.
        name: for the run's directory.
        folder: what the paths are relative to.
        function: a training function that has to be pickled; in `config`, its file is beside the configuration, as it
            will be once the run has a directory.
    """

    config: SearchConfig
    text: str
    name: str
    folder: Path
    function: bytes | None = None

    @contextmanager
    def usable(self, written: SearchConfig) -> Iterator[SearchConfig]:
        """A configuration like this one with absolute paths, before there is a run directory."""
        with tempfile.TemporaryDirectory(prefix="lossearch-") as name:
            self.write_function(Path(name))
            # Only the pickled function lies there.
            place = {} if self.function is None else {"task.function": Path(name, PICKLED)}
            config = with_paths(written, lambda field, path: str(place.get(field, path)))
            yield anchored(config, self.folder)

    def write_function(self, folder: Path) -> None:
        """Write the pickled function, if there is one, into a folder."""
        if self.function is not None:
            (folder / PICKLED).write_bytes(self.function)


def _pickled_beside(config: SearchConfig, folder: Path) -> bytes | None:
    """The pickled function of another run, whose configuration this is: a run of its own needs a copy."""
    task = config.task
    beside = isinstance(task, FunctionConfig) and task.function.rpartition(":")[0] == PICKLED
    return read_pickled(folder / PICKLED) if beside else None


def read_given(config: ConfigSource) -> Given:
    """What a search is given; raises `UserError` for what is no configuration."""
    if isinstance(config, (str, Path)):
        text = read_config(config)
        written, folder = parse_written(text, str(config)), Path(config).parent
        return Given(written, text, Path(config).stem, folder, _pickled_beside(written, folder))
    if isinstance(config, SearchConfig):
        text = to_toml(config.model_dump(mode="json", exclude_unset=True))
        return Given(config, text, "search", Path.cwd())
    if not isinstance(config, Mapping):
        raise _no_configuration(config)
    values, function = _with_names(config)
    check_values(dict(values), "a configuration", "write it as a TOML file would")
    text = to_toml(values)
    return Given(parse_written(text, "the configuration"), text, "search", Path.cwd(), function)


def _no_configuration(found: object) -> UserError:
    what = "the training function alone" if callable(found) else f"{found!r:.80}"
    hint = (
        f"to search over a function of yours: lossearch.search({_EXAMPLE})" if callable(found) else "give one of these"
    )
    return UserError("a TOML file, a mapping or a SearchConfig", what, hint)


def _with_names(config: Mapping[str, Any]) -> tuple[Mapping[str, Any], bytes | None]:
    """The configuration with the name of a training function in its place, under which other processes find it.

    The function itself comes pickled where it has no such name.
    """
    config = _with_proposer(config)
    task = config.get("task")
    if callable(task):
        raise UserError("a table as task", "the training function alone", f"write, for example, {_EXAMPLE}")
    if isinstance(task, Mapping) and callable(task.get("function")):
        function = task["function"]
        reference = reference_to(function)
        content = pickled(function) if reference is None else None
        name = f"{PICKLED}:{name_of(function)}" if reference is None else _relative(reference)
        return {**config, "task": {**task, "function": name}}, content
    return config, None


def _with_proposer(config: Mapping[str, Any]) -> Mapping[str, Any]:
    """The configuration with the name of a function that proposes losses in its place."""
    method = config.get("method")
    if not isinstance(method, Mapping) or not callable(function := method.get("function")):
        return config
    reference = reference_to(function)
    if reference is None:
        hint = "define it at the top of a file or module, and not within another function"
        raise UserError("as method.function one that other processes find by its name", repr(function)[:80], hint)
    return {**config, "method": {**method, "function": _relative(reference)}}


def _relative(reference: str) -> str:
    """The reference of a function with a path relative to the working directory, where its file lies below that."""
    place, colon, name = reference.rpartition(":")
    inside = place.endswith(".py") and Path(place).is_relative_to(Path.cwd().resolve())
    return f"{Path(place).relative_to(Path.cwd().resolve())}{colon}{name}" if inside else reference
