"""What Ray and lossearch log, and what Ray prints: both go into a search's log, and not between its results."""

from __future__ import annotations

import contextlib
import logging
import sys
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any, TextIO

_LOGGERS = ("ray", "ray.tune", "ray.data", "lossearch")
_RAY_THREADS = "ray_"  # how the names of Ray's own threads begin


class _LogFile(logging.FileHandler):
    """A log that a full disk may cut short: what fills the disk is told once, and not by the log."""

    def handleError(self, record: logging.LogRecord) -> None:
        return None

    def close(self) -> None:
        with contextlib.suppress(OSError):
            super().close()


@contextlib.contextmanager
def logging_to(path: Path) -> Iterator[None]:
    """Send what Ray and lossearch log into a file, and nowhere else, for the length of a block."""
    handler = _LogFile(path, encoding="utf-8", delay=True)
    handler.setFormatter(logging.Formatter("%(asctime)s %(levelname)s %(name)s: %(message)s"))
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger, logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        logger.handlers, logger.propagate = [handler], False
    try:
        yield
    finally:
        for logger, handlers, propagate in before:
            logger.handlers, logger.propagate = handlers, propagate
        handler.close()


class RayText:
    """Decides which printed text is Ray's."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._everybody = False

    @contextlib.contextmanager
    def of_everybody(self) -> Iterator[None]:
        """Take all printed text for Ray's, for the length of a block in which nothing but Ray runs."""
        self._everybody = True
        try:
            yield
        finally:
            self._everybody = False

    def write(self, text: str) -> bool:
        """Append text to the log if Ray prints it; whether it does."""
        if not (self._everybody or threading.current_thread().name.startswith(_RAY_THREADS)):
            return False
        with contextlib.suppress(OSError), self._path.open("a", encoding="utf-8", errors="replace") as log:
            log.write(text)
        return True


class _Sieve:
    """A stream of text from which Ray's is taken out; else as the stream behind it."""

    def __init__(self, stream: TextIO, text: RayText) -> None:
        self._stream, self._text = stream, text

    def write(self, text: str) -> int:
        return len(text) if self._text.write(text) else self._stream.write(text)

    def __getattr__(self, name: str) -> Any:
        return getattr(self._stream, name)


@contextlib.contextmanager
def ray_text_to(path: Path) -> Iterator[RayText]:
    """Send what Ray prints in this process into a file: messages of its nodes, such as pages about one that died."""
    text = RayText(path)
    before = sys.stdout, sys.stderr
    sieves: Any = tuple(stream and _Sieve(stream, text) for stream in before)
    sys.stdout, sys.stderr = sieves
    try:
        yield text
    finally:
        if (sys.stdout, sys.stderr) == sieves:  # else somebody exchanged them in the meantime
            sys.stdout, sys.stderr = before
