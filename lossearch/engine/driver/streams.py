"""Streams that nobody reads any more: nothing to end a search for."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Callable, Iterator
from typing import Any, TextIO, TypeVar

Result = TypeVar("Result")


class LastingStream:
    """A stream that falls silent where the one behind it breaks: its reader or terminal is gone, or a disk is full."""

    def __init__(self, stream: TextIO) -> None:
        self._stream = stream
        self._broken = False

    def write(self, text: str) -> int:
        return self._unless_broken(lambda: self._stream.write(text), len(text))

    def flush(self) -> None:
        self._unless_broken(self._stream.flush, None)

    def _unless_broken(self, action: Callable[[], Result], instead: Result) -> Result:
        try:
            return instead if self._broken else action()
        except (OSError, ValueError):  # a ValueError: the stream was closed
            self._broken = True
            forget_output(self._stream)
            return instead

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


def forget_output(stream: TextIO) -> None:
    """Let what a stream still holds, and what is written later, go nowhere; Python would stumble over it at exit."""
    with contextlib.suppress(OSError, ValueError, AttributeError):
        nowhere = os.open(os.devnull, os.O_WRONLY)
        try:
            os.dup2(nowhere, stream.fileno())
        finally:
            os.close(nowhere)


@contextlib.contextmanager
def if_anybody_reads(stream: TextIO) -> Iterator[None]:
    """Write to a stream in a block, or let it be where that fails."""
    try:
        yield
        stream.flush()
    except (OSError, ValueError):
        forget_output(stream)
