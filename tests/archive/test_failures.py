"""Reasons of failures as one line each, and their counts."""

import pytest

from lossearch.archive.failures import UNKNOWN, Failure, headline, summed

TRACEBACK = """Traceback (most recent call last):
  File "train.py", line 3, in train
    step()
  File "train.py", line 9, in step
    raise RuntimeError(text)
    ^^^^^^^^^^^^^^^^^^^^^^^^
"""


@pytest.mark.parametrize(
    ("reason", "line"),
    [
        ("", UNKNOWN),
        ("  \n\n", UNKNOWN),
        ("not finished after 3 s", "not finished after 3 s"),
        (f"{TRACEBACK}RuntimeError: out of patience\n", "RuntimeError: out of patience"),
        (f"{TRACEBACK}RuntimeError: CUDA error\nSet X=1.\n  indented\n", "RuntimeError: CUDA error"),
        (f"last output:\n| Traceback\n|   File\n{TRACEBACK}KeyError: 1", "KeyError: 1"),
        ('last output:\n| a  File "b"\n| ValueError: printed\nnot finished after 3 s', "not finished after 3 s"),
        ("last output:\n| only printed", "last output:"),
        (f"Error: {'x' * 300}", f"Error: {'x' * 192}…"),
    ],
)
def test_a_reason_in_one_line(reason: str, line: str) -> None:
    assert headline(reason) == line


def test_reasons_that_read_the_same_are_counted_together() -> None:
    reasons = [("a", 1), (f"{TRACEBACK}b", 2), ("a\n", 1), ('  File "other.py", line 1\nb', 3)]
    assert summed(reasons) == [Failure("b", 5), Failure("a", 2)]
