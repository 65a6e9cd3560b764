"""How a search ends before its time: by a signal, or because what it ran on is gone."""

from __future__ import annotations

import contextlib
import os
import shlex
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from types import FrameType
from typing import Any, Self

from lossearch.engine.driver.streams import if_anybody_reads

LOST = 75
"""Exit code of a command whose cluster, islands or writer are gone; sysexits.h calls it a temporary failure."""

_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
_PATIENCE = 20.0  # seconds that cleaning up may take before another signal ends it too
_LAST_RESORT = 30.0  # seconds after which Ray itself, left alone, would soon end this process without a word


def how_to_go_on(path: Path | None) -> str:
    """What is left of a search that ended early, and the command that continues it."""
    if path is None:
        return "No run was begun, and nothing was written: search again"
    return f"All results so far are kept. Go on with: lossearch resume {shlex.quote(str(path))}"


class SearchInterrupted(KeyboardInterrupt):
    """A signal ended a search: Ctrl-C, SIGTERM or SIGHUP. All results so far are archived.

    Attributes:
        path: the run directory, which `resume` continues; None where the search was still being planned.
        exit_code: 128 and the signal's number, as a shell has it.
    """

    def __init__(self, path: Path | None, number: int = signal.SIGINT) -> None:
        what = "interrupted" if number == signal.SIGINT else f"ended by {signal.Signals(number).name}"
        super().__init__(f"{what}. {how_to_go_on(path)}")
        self.path = path
        self.exit_code = 128 + int(number)


class SearchLost(RuntimeError):
    """What a search ran on is gone: its cluster, its islands or its writer. All results so far are archived.

    Attributes:
        path: the run directory, which `resume` continues.
        exit_code: `LOST`.
    """

    exit_code = LOST

    def __init__(self, path: Path, what: str) -> None:
        super().__init__(f"{what}. {how_to_go_on(path)}")
        self.path = path


class Ending:
    """Brings a search that runs in the main thread to its end, for the length of a `with` block.

    SIGINT, SIGTERM and SIGHUP raise a KeyboardInterrupt there, and `lose` does so from another thread. A signal that
    the process ignores (as under nohup), or handles in its own way, is left alone; outside the main thread all are.
    Signals that follow the first are ignored for 20 seconds, in which the search cleans up.

    Args:
        path: the run directory; None before there is one.

    Attributes:
        path: as given; the search sets it once there is a run.
        received: the first signal, or None.
        lost: what the search ran on and is gone, in words, or None.
        last_acts: what to do before this process ends at once, such as killing what it started.
    """

    def __init__(self, path: Path | None) -> None:
        self.path = path
        self.received: int | None = None
        self.lost: str | None = None
        self.last_acts: list[Callable[[], object]] = []
        self._stderr = sys.stderr  # before what is printed there is taken for Ray's, as while that shuts down
        self._raised_at: float | None = None
        self._deferred = False
        self._before: dict[int, Any] = {}
        self._last_resort: threading.Timer | None = None

    def __enter__(self) -> Self:
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.getsignal(number) for number in _SIGNALS if _is_free(number)}
            self.take_signals()
        return self

    def __exit__(self, *_: object) -> None:
        if self._last_resort is not None:
            self._last_resort.cancel()
        for number, handler in self._before.items():
            signal.signal(number, handler)

    def take_signals(self) -> None:
        """Take the signals again: Ray, while it starts, sets handlers of its own.

        Raises:
            KeyboardInterrupt: the search is to end, and code that catches everything has caught that.
        """
        for number in self._before:
            signal.signal(number, self._handle)
        if self.asked():
            raise KeyboardInterrupt

    @contextlib.contextmanager
    def deferred(self) -> Iterator[None]:
        """Let signals wait until the end of a block that an exception would leave half done, such as an import."""
        self._deferred = True
        try:
            yield
        finally:
            self._deferred = False
        if self.asked():
            raise KeyboardInterrupt

    def asked(self) -> bool:
        """Whether the search is to end."""
        return self.received is not None or self.lost is not None

    def lose(self, what: str) -> None:
        """End the search, as `what` is gone."""
        number = next(iter(self._before), None)  # SIGINT, or another where that is ignored, as in a shell's background
        if self.asked() or number is None:
            self.lost = self.lost or what
            return
        self.lost = what
        self._last_resort = threading.Timer(_LAST_RESORT, self._leave)
        self._last_resort.daemon = True
        self._last_resort.start()
        signal.pthread_kill(threading.main_thread().ident or 0, number)

    def _handle(self, number: int, _: FrameType | None) -> None:
        now = time.monotonic()
        if self._raised_at is not None and now - self._raised_at < _PATIENCE:
            return
        if self.received is None and self.lost is None:
            self.received = number
        if not self._deferred:
            self._raised_at = now
            raise KeyboardInterrupt

    def _leave(self) -> None:
        """End this process, where Ray's C++ waits for a cluster that is gone and no exception gets through."""
        with if_anybody_reads(self._stderr):
            print(f"{self.lost or 'Ray is lost'}. {how_to_go_on(self.path)}", file=self._stderr)
        for act in self.last_acts:
            act()
        os._exit(LOST)


def _is_free(number: int) -> bool:
    """Whether nobody but Python, the system or Ray handles a signal."""
    handler = signal.getsignal(number)
    of_ray = str(getattr(handler, "__module__", "")).partition(".")[0] == "ray"
    return handler in (signal.SIG_DFL, signal.default_int_handler) or of_ray


@contextlib.contextmanager
def ends_told(path: Path | None) -> Iterator[Ending]:
    """Let signals, and the end of what a search runs on, come out as the exceptions that say how to go on.

    `path` is the run directory; None before there is one.
    """
    with Ending(path) as ending:
        try:
            yield ending
        except KeyboardInterrupt:
            if ending.path is not None and ending.lost is not None and ending.received is None:
                raise SearchLost(ending.path, ending.lost) from None
            raise SearchInterrupted(ending.path, ending.received or signal.SIGINT) from None


@contextlib.contextmanager
def exits_of_ray(ending: Ending) -> Iterator[None]:
    """Take for a SIGTERM what Ray makes of one while it starts."""
    try:
        yield
    except SystemExit:
        ending.received = ending.received or signal.SIGTERM
        raise KeyboardInterrupt from None


@contextlib.contextmanager
def notes_added(path: Path) -> Iterator[None]:
    """Add to every exception that ends a session how to go on, unless it says so."""
    try:
        yield
    except SearchLost:
        raise
    except Exception as error:
        error.add_note(how_to_go_on(path))
        raise
