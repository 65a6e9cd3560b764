"""Faults that pydantic finds in a table of a configuration, told by the field: required, found, what to do."""

from __future__ import annotations

import difflib
from collections.abc import Callable, Iterable

from pydantic import ValidationError

from lossearch.errors import UserError

Path = tuple[str, ...]


def field_error(
    error: ValidationError, source: str, fields: Callable[[Path], Iterable[str]], table: str = ""
) -> UserError:
    """The first fault; a field that does not exist comes before others, which may be its consequences.

    Args:
        error: what validation raised.
        source: of the configuration, a file's name or a description.
        fields: names of the fields of the table at a path.
        table: name of the table that was validated, where it is a part of the configuration.
    """
    faults = sorted(error.errors(), key=lambda fault: fault["type"] != "extra_forbidden")
    first = faults[0]
    path = tuple(str(part) for part in first["loc"] if not str(part).startswith("["))
    prefix = (table,) if table else ()
    place, more = ".".join((*prefix, *path)), f" (and {len(faults) - 1} more)" if len(faults) > 1 else ""
    if first["type"] == "extra_forbidden":
        known = list(fields(path[:-1]))
        close = difflib.get_close_matches(path[-1], known, n=1, cutoff=0.5)
        hint = f"did you mean {close[0]!r}?" if close else f"remove it from {source}"
        where = ".".join((*prefix, *path[:-1]))
        required = f"fields of {where}: {', '.join(known)}" if where else f"fields {', '.join(known)}"
        return UserError(required, f"the unknown field {place}{more}", hint)
    message = first["msg"].removeprefix("Value error, ").removeprefix("Input should be ")
    if first["type"] == "missing":
        return UserError(f"the field {place}", f"none in {source}{more}", f"add {place}")
    found = f"{first['input']!r:.80}" if path else f"{source}" if table else "none of them"
    return UserError(f"{place}: {message}" if place else message, f"{found}{more}", f"correct {source}")
