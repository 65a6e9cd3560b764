"""Why trainings failed: the stored reasons, each as one line, and how many losses it stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

UNKNOWN = "no reason was recorded"
_OUTPUT_MARK = "| "  # of lines that a user's training printed; `lossearch.tasks.user.task` writes it
_FRAME = '  File "'
_MISTAKE = "lossearch.errors.UserError: "
_LONGEST_LINE = 200


class Failure(NamedTuple):
    """One reason, and the number of losses whose training it ended."""

    reason: str
    losses: int


def headline(reason: str) -> str:
    """A stored reason as one line: of a traceback the exception's, else the last that no training printed."""
    lines = [line.rstrip() for line in reason.splitlines() if line.strip() and not line.startswith(_OUTPUT_MARK)]
    frames = [index for index, line in enumerate(lines) if line.startswith(_FRAME)]
    # An exception's text may have lines of its own: its name stands on the first one that is not indented.
    raised = [line for line in lines[frames[-1] + 1 :] if not line[0].isspace()] if frames else []
    line = raised[0] if raised else lines[-1].strip() if lines else UNKNOWN
    line = line.removeprefix(_MISTAKE)  # which says in full sentences what was required and found
    return line if len(line) <= _LONGEST_LINE else line[: _LONGEST_LINE - 1] + "…"


def summed(reasons: Iterable[tuple[str, int]]) -> list[Failure]:
    """Counts of reasons that read the same in one line, the most common first."""
    counts: Counter[str] = Counter()
    for reason, count in reasons:
        counts[headline(reason)] += count
    return [Failure(reason, count) for reason, count in counts.most_common()]
