"""Counts of reasons why trainings failed."""

from lossearch.archive.failures import Failure, summed


def test_reasons_that_read_the_same_are_counted_together() -> None:
    reasons = [("a", 1), ('  File "train.py", line 9\nb', 2), ("a\n", 1), ('  File "other.py", line 1\nb', 3)]
    assert summed(reasons) == [Failure("b", 5), Failure("a", 2)]
