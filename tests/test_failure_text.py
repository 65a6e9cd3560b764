"""The text of a failure in one line."""

import pytest

from lossearch.failure_text import UNKNOWN, after_output, headline, raised_at, traceback_text

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


def test_what_is_put_together_is_read_back() -> None:
    with pytest.raises(KeyError) as caught:
        {}["absent"]
    printed = ["Traceback", '  File "printed.py", line 1', "ValueError: printed"]
    text = after_output(printed, traceback_text(caught.value))
    place = raised_at(text)
    assert headline(text) == "KeyError: 'absent'"
    assert place is not None
    assert place.startswith(f'File "{__file__}", line ')
    assert raised_at(after_output(["no traceback"], "not finished after 3 s")) is None
