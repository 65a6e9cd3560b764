"""Why trainings failed, and how many losses each reason stopped."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from typing import NamedTuple

from lossearch.failure_text import headline


class Failure(NamedTuple):
    """One reason, and the number of losses whose training it ended."""

    reason: str
    losses: int


def summed(reasons: Iterable[tuple[str, int]]) -> list[Failure]:
    """Counts of reasons that read the same in one line, the most common first."""
    counts: Counter[str] = Counter()
    for reason, count in reasons:
        counts[headline(reason)] += count
    return [Failure(reason, count) for reason, count in counts.most_common()]
