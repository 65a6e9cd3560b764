"""The text of a failure, as it is archived: how it is put together, and what is read back out of it."""

from __future__ import annotations

import traceback
from collections.abc import Iterable

from lossearch.errors import UserError

UNKNOWN = "no reason was recorded"

_OUTPUT = "| "  # before every line that a user's training printed
_FRAME = '  File "'
_MISTAKE = f"{UserError.__module__}.{UserError.__qualname__}: "
_LONGEST_LINE = 200


def traceback_text(error: BaseException) -> str:
    """An exception as Python prints it, with where it was raised."""
    return "".join(traceback.format_exception(error))


def after_output(printed: Iterable[str], failure: str) -> str:
    """A failure after the lines that the training printed before it.

    They come first, so that the failure ends the text, whatever of its beginning is cut off.
    """
    return "\n".join(["last output:", *(f"{_OUTPUT}{line}" for line in printed), failure])


def headline(text: str) -> str:
    """A failure in one line: of a traceback the exception's, else the last that no training printed."""
    lines = [line.rstrip() for line in text.splitlines() if line.strip() and not line.startswith(_OUTPUT)]
    frames = [index for index, line in enumerate(lines) if line.startswith(_FRAME)]
    # An exception's text may have lines of its own: its name stands on the first one that is not indented.
    raised = [line for line in lines[frames[-1] + 1 :] if not line[0].isspace()] if frames else []
    line = raised[0] if raised else lines[-1].strip() if lines else UNKNOWN
    line = line.removeprefix(_MISTAKE)  # which says in full sentences what was required and found
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"


def raised_at(text: str) -> str | None:
    """Where an exception was raised, as the last frame of its traceback says; None where there is none."""
    frames = [line.strip() for line in text.splitlines() if line.startswith(_FRAME)]
    return frames[-1] if frames else None
