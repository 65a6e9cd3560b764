"""The distribution that a user names: by its name, a file, or a table."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from lossearch.errors import UserError
from lossearch.reading import parse_toml, read_text
from lossearch.tasks.distribution.config import DistributionConfig, distribution_config


def read_distribution(spec: str | Path | Mapping[str, Any] | DistributionConfig, **changes: Any) -> DistributionConfig:
    """The distribution that `spec` means, with other values of some fields.

    Args:
        spec: a name; a .toml file with a distribution's table, or a search configuration whose task is one; a table; or
            a configuration.
        changes: fields by name; those that are None stay.

    Raises:
        UserError: there is none of that name, the file is missing or holds no distribution, or a value does not fit.
    """
    given = {name: value for name, value in changes.items() if value is not None}
    if isinstance(spec, DistributionConfig):
        return distribution_config({**spec.model_dump(), **given})
    if isinstance(spec, Mapping):
        return _below(Path.cwd(), distribution_config({**spec, **given}))
    if Path(spec).suffix != ".toml":
        return distribution_config({"base": str(spec), "name": str(spec), **given})
    hint = "give the name of a distribution, see lossearch tasks, or a .toml file"
    values = parse_toml(read_text(spec, "a distribution of tasks", hint), "a TOML file", f"correct {spec}")
    table = values.get("task", values)
    if isinstance(table, str):
        table = {"base": table, "name": table}
    if not isinstance(table, Mapping) or not table.keys() & {"axes", "base"}:
        required = "a distribution of tasks: a table with axes, or with the base of one"
        raise UserError(required, f"{spec} without", "see: docs/TASKS.md")
    return _below(Path(spec).parent, distribution_config({**table, **given}))


def _below(folder: Path, config: DistributionConfig) -> DistributionConfig:
    """The distribution with absolute paths of its functions, which are relative to a folder."""
    return config.with_paths(lambda field, path: str((folder / path).resolve()))
