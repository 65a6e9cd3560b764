"""Reading what strangers wrote: files of bounded size, JSON, TOML, numbers and text. Only a `UserError` comes out."""

from __future__ import annotations

import json
import math
import os
import re
import stat
import tomllib
from collections.abc import Iterator
from numbers import Real
from pathlib import Path
from typing import Any

from lossearch.errors import UserError
from lossearch.plain_text import unseen_in

LARGEST_FILE = 16_000_000
"""Bytes of a file."""

LARGEST_WHOLE = 2**63 - 1
"""What a database and a TOML document can hold."""

LONGEST_FILE_NAME = 200
"""Bytes of a file's name; file systems hold 255, and a file is written beside its place under a longer name first."""

LONGEST_PATH = 3_500
"""Bytes of a path."""

DEEPEST = 64
"""Lists and tables within each other."""

_WHOLE = re.compile(r"[+-]?[0-9]{1,19}")
_NUMBER = re.compile(r"[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?")
_LONGEST_NUMBER = 400


def finite(value: object) -> float | None:
    """The number as a float; None where it is none, or where no float holds it."""
    if type(value) is not float:
        if isinstance(value, bool) or not isinstance(value, Real):
            return None
        try:
            value = float(value)
        except OverflowError:
            return None
    return value if math.isfinite(value) else None


def number_in(text: str) -> float | None:
    """The finite number that a text is; None for any other text."""
    text = text.strip()
    known = len(text) <= _LONGEST_NUMBER and _NUMBER.fullmatch(text) is not None
    return finite(float(text)) if known else None


def whole_in(text: str) -> int | None:
    """The whole number that a text is; None for any other text, and for one beyond 64 bits."""
    text = text.strip()
    number = int(text) if _WHOLE.fullmatch(text) else None
    return number if number is not None and abs(number) <= LARGEST_WHOLE else None


def numbers_in(text: str, what: str, hint: str) -> list[float]:
    """The finite numbers in a text, with commas between them; raises `UserError` for any other text."""
    found = [number_in(part) for part in text.split(",")]
    if None in found:
        raise UserError(what, repr(text), hint)
    return [number for number in found if number is not None]


def check_text(text: str, what: str, hint: str) -> None:
    """Raise `UserError` where a text holds characters that cannot be written, or that would steer who shows it."""
    unseen = unseen_in(text)
    if unseen is not None:
        raise UserError(f"{what} without control characters", unseen, hint)


def usable_path(path: str | os.PathLike[str], what: str) -> Path:
    """A path that a file system can hold; raises `UserError` for NUL, half characters and names that are too long."""
    found = Path(path)
    try:
        names = [os.fsencode(part) for part in found.parts]
    except UnicodeEncodeError as error:
        raise UserError(what, f"{error}: {found}", "choose another name") from error
    if any(b"\0" in name for name in names):
        raise UserError(what, f"a name with NUL: {found}", "choose another name")
    longest = max(map(len, names), default=0)
    if longest > LONGEST_FILE_NAME or sum(map(len, names)) + len(names) > LONGEST_PATH:
        raise UserError(what, f"a name that is too long: {found}", "choose a shorter name")
    return found


def read_bytes(path: str | Path, what: str, hint: str, limit: int = LARGEST_FILE) -> bytes:
    """Content of a file, which must be a file and no pipe or device.

    Raises:
        UserError: it is none, is larger than `limit`, or cannot be read.
    """
    try:
        # A pipe that nobody writes to would never open otherwise.
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(descriptor)
            if not stat.S_ISREG(status.st_mode):
                raise UserError(what, f"no regular file: {path}", hint)
            content = file.read(limit + 1) if status.st_size <= limit else b""
    except IsADirectoryError as error:
        raise UserError(what, f"a directory: {path}", hint) from error
    except OSError as error:
        raise UserError(what, f"{error.strerror}: {path}", hint) from error
    except ValueError as error:  # a path with NUL, or one that the file system's encoding lacks
        raise UserError(what, f"{error}: {path}", hint) from error
    size = max(len(content), status.st_size)
    if size > limit:
        raise UserError(f"{what} of at most {limit} bytes", f"{size}: {path}", hint)
    return content


def read_text(path: str | Path, what: str, hint: str, limit: int = LARGEST_FILE) -> str:
    """Content of a text file in UTF-8, with or without byte order mark; see `read_bytes`."""
    content = read_bytes(path, what, hint, limit)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise UserError(f"{what} in UTF-8", f"{error} ({path})", hint) from error


def parse_json(text: str, what: str, hint: str, *, infinite: bool = False) -> Any:
    """The value of a JSON text.

    Args:
        text: the text.
        what: it should be, for the message.
        hint: what to do where it is not.
        infinite: whether NaN and infinities may occur, as Python writes them: in files of measured values.

    Raises:
        UserError: it is no JSON, is nested too deeply, has a name twice in one object, a number that no float or 64
            bits hold, or a text with control characters.
    """
    try:
        value = json.loads(
            text,
            object_pairs_hook=_object,
            parse_int=_json_whole,
            parse_float=_json_float,
            parse_constant=float if infinite else _json_float,
        )
    except json.JSONDecodeError as error:
        raise UserError(what, str(error), hint) from error
    except _Unfit as error:
        raise UserError(what, str(error), hint) from None
    except RecursionError:
        raise UserError(what, f"more than {DEEPEST} lists and objects within each other", hint) from None
    check_values(value, what, hint)
    return value


def parse_toml(text: str, what: str, hint: str) -> dict[str, Any]:
    """The tables of a TOML text; raises `UserError` as `parse_json` does."""
    try:
        values = tomllib.loads(text)
    except (ValueError, OverflowError) as error:  # among them numbers of thousands of digits
        raise UserError(what, str(error), hint) from error
    except RecursionError:
        raise UserError(what, f"more than {DEEPEST} lists and tables within each other", hint) from None
    check_values(values, what, hint)
    return values


def check_values(value: object, what: str, hint: str) -> None:
    """Raise `UserError` where plain values hold a number, a text or a depth that nothing here could use."""
    for part, depth in _parts(value):
        if depth > DEEPEST:
            raise UserError(what, f"more than {DEEPEST} lists and tables within each other", hint)
        if isinstance(part, str):
            check_text(part, what, hint)
        elif isinstance(part, int) and abs(part) > LARGEST_WHOLE:
            raise UserError(what, f"a whole number of {_digits(part)} digits", hint)


def _digits(number: int) -> int:
    return int(number.bit_length() * math.log10(2)) + 1


def _parts(value: object) -> Iterator[tuple[object, int]]:
    """All values and keys, each with the number of lists and tables around it."""
    waiting: list[tuple[object, int]] = [(value, 0)]
    while waiting:
        part, depth = waiting.pop()
        yield part, depth
        if depth > DEEPEST:
            continue
        if isinstance(part, dict):
            waiting += [(inner, depth + 1) for pair in part.items() for inner in pair]
        elif isinstance(part, (list, tuple)):
            waiting += [(inner, depth + 1) for inner in part]


class _Unfit(Exception):
    """Something in a JSON text that Python reads and nobody should."""


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) < len(pairs):
        names = [name for name, _ in pairs]
        raise _Unfit(f"{next(name for name in names if names.count(name) > 1)!r} twice in one object")
    return found


def _json_whole(text: str) -> int:
    number = whole_in(text)
    if number is None:
        raise _Unfit(f"a whole number of {len(text.lstrip('-'))} digits")
    return number


def _json_float(text: str) -> float:
    number = number_in(text)
    if number is None:
        raise _Unfit(f"{text:.40}, which is no finite number")
    return number
