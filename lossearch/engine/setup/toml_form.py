"""Plain values as TOML, which the standard library reads but does not write."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from typing import Any

from lossearch.errors import UserError


def to_toml(values: Mapping[str, Any]) -> str:
    """A TOML document of nested tables; None is left out, as TOML has no such value.

    Raises:
        UserError: a key is no text, or a value is none that TOML has.
    """
    return "\n".join(_lines(values, ())) + "\n"


def _lines(values: Mapping[str, Any], path: tuple[str, ...]) -> list[str]:
    given = {key: value for key, value in values.items() if value is not None}
    plain = [f"{_key(key)} = {_value(value)}" for key, value in given.items() if not isinstance(value, Mapping)]
    tables = [(key, value) for key, value in given.items() if isinstance(value, Mapping)]
    head = [f"[{'.'.join(map(_key, path))}]"] if path else []
    nested = [line for key, value in tables for line in ["", *_lines(value, (*path, key))]]
    return head + plain + nested


def _key(key: object) -> str:
    if not isinstance(key, str):
        raise UserError("names of fields as text", f"the key {key!r:.80}", "put it in quotes")
    bare = key.isascii() and key.replace("_", "").replace("-", "").isalnum()
    return key if bare else _quoted(key)


def _value(value: Any) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int):
        return repr(int(value))
    if isinstance(value, float):
        return repr(float(value))  # without the type, which subclasses such as NumPy's name
    if isinstance(value, str):
        return _quoted(value)
    if isinstance(value, Sequence):
        return f"[{', '.join(map(_value, value))}]"
    found = f"a {type(value).__name__}: {value!r:.80}"
    raise UserError("texts, numbers, lists and mappings in a configuration", found, "write it as one of these")


def _quoted(text: str) -> str:
    return json.dumps(text, ensure_ascii=False).replace("\x7f", "\\u007f")
