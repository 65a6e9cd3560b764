"""What text may hold: what is refused where it enters, and how it is written for those who read or run it."""

from __future__ import annotations

import re
import unicodedata

LONGEST_NAME = 255
"""Characters of a name."""

LONGEST_QUOTE = 600
"""Characters of one part of a message, which may quote what was given."""

# Control characters other than tab and line ends, halves of surrogate pairs, which no encoding can write, marks that
# turn the direction of what follows, and line ends that only some programs know.
_UNSEEN = re.compile(
    "[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\u061c\u200e\u200f\u2028-\u202e\u2066-\u2069\ud800-\udfff\ufeff]"
)
_CARRIAGE = re.compile("\r(?!\n)")
_FORMULA = ("=", "+", "-", "@", "\t", "\r")


def unseen_in(text: str) -> str | None:
    """The first character that text from outside may not hold, as an escape sequence; None where there is none."""
    found = _UNSEEN.search(text)
    return None if found is None else _escaped(found)


def is_name(text: str) -> bool:
    """Whether it is an identifier that Python reads as it is written.

    Python brings identifiers to their compatibility form, so that two names that look different may be one.
    """
    return len(text) <= LONGEST_NAME and text.isidentifier() and unicodedata.normalize("NFKC", text) == text


def visible(text: str) -> str:
    """Text that a terminal shows as it is: what would steer it becomes an escape sequence such as `\\x1b`."""
    return _CARRIAGE.sub(r"\\r", _UNSEEN.sub(_escaped, text))


def shortened(text: str, limit: int = LONGEST_QUOTE) -> str:
    """At most `limit` characters: of a longer text the beginning and the end, which say most."""
    if len(text) <= limit:
        return text
    end = limit // 4
    return f"{text[: limit - end - 3]} … {text[-end:]}"


def csv_cell(text: str) -> str:
    """Text that a spreadsheet shows instead of computing: what it would take for a formula gets an apostrophe."""
    return f"'{text}" if text.startswith(_FORMULA) else text


def _escaped(found: re.Match[str]) -> str:
    code = ord(found.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
