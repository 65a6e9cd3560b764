"""The seal on test splits: who may open one, and a record of who did."""

from __future__ import annotations

import os
from dataclasses import dataclass

from lossearch.errors import UserError

VARIABLE = "LOSSEARCH_TEST_SPLIT_SEALED"
"""Environment variable that holds why test splits are sealed. Processes inherit it from the one that started them."""

_reason_sealed: str | None = os.environ.get(VARIABLE) or None
_openings: list[Opening] = []


class TestSplitSealed(UserError):
    """A test split was asked for in a process that promised never to look at one."""

    # Not a test class, whatever its name begins with.
    __test__ = False


@dataclass(frozen=True)
class Opening:
    """One opening of a test split: which task, and on whose behalf."""

    task: str
    by: str


def forbid_test_split(reason: str = "a search runs in this process") -> None:
    """Forbid every opening of a test split, for good, in this process and in all that it starts from now on.

    Search workers call this before they build their task. It guards against mistakes: a process that is started with
    an environment of its own does not know of it.

    Args:
        reason: why the split is sealed; quoted by `TestSplitSealed`.
    """
    global _reason_sealed
    if _reason_sealed is None:
        _reason_sealed = reason
    os.environ[VARIABLE] = _reason_sealed


def sealed_environment(reason: str) -> dict[str, str]:
    """Environment variables that seal a process from its start, with all that it starts."""
    return {VARIABLE: reason}


def test_split_forbidden() -> bool:
    """Whether test splits are sealed in this process."""
    return _reason() is not None


test_split_forbidden.__test__ = False  # pyright: ignore[reportFunctionMemberAccess]


def openings() -> tuple[Opening, ...]:
    """Every opening of a test split in this process, oldest first; refused attempts are not among them."""
    return tuple(_openings)


def check_allowed(what: str) -> None:
    """Raise unless test data may be read in this process.

    Raises:
        TestSplitSealed: test splits are sealed in this process.
    """
    reason = _reason()
    if reason is not None:
        raise TestSplitSealed(
            f"a process that may open {what}",
            f"a process in which the test split is sealed ({reason})",
            "judge losses on test data with lossearch.compare, after the search",
        )


def record_opening(task: str, by: str) -> None:
    """Note that `by` opens the test split of `task`, or refuse.

    Raises:
        TestSplitSealed: test splits are sealed in this process.
        UserError: `by` is empty.
    """
    check_allowed(f"the test split of task {task!r}")
    if not by:
        raise UserError("the name of who opens the test split", "an empty name", "pass by='compare'")
    _openings.append(Opening(task, by))


def _reason() -> str | None:
    return _reason_sealed or os.environ.get(VARIABLE) or None
