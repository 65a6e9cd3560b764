"""The process that runs training functions, and one evaluation in it, as their owner sees them."""

from __future__ import annotations

import contextlib
import math
import os
import signal
import socket
import subprocess
import sys
import time
import uuid
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from typing import Any

from lossearch.failure_text import after_output
from lossearch.tasks.outcome import Outcome, Status
from lossearch.tasks.seal import sealed_environment
from lossearch.tasks.user.descendants import kill_marked
from lossearch.tasks.user.worker import UNHEARD, Message, Request

OnMetric = Callable[[int, float], bool]
"""`(number of metrics so far, metric) -> whether to go on`."""

_START_LIMIT = 120.0  # seconds in which a fresh server must have imported torch
_STOP_LIMIT = 10.0  # seconds in which a server must confirm that a child is dead
_MOST_POINTS = 10_000  # of a training's curve that are kept; beyond, every second one is dropped
_SERVE = "import sys; from lossearch.tasks.user.worker import serve_on; serve_on(int(sys.argv[1]))"
_FROM_OUTSIDE = (signal.SIGKILL, signal.SIGTERM)


class Server:
    """The process of `worker.serve_on`, which ends when this end of its connection is closed.

    Args:
        serve: what it runs, in place of that.
    """

    def __init__(self, serve: str = _SERVE) -> None:
        ours, theirs = socket.socketpair()
        path = os.pathsep.join(entry or os.getcwd() for entry in [*sys.path, ""])
        # A name of its own, since a training may start servers, too.
        self._mark = f"LOSSEARCH_TRAININGS_{uuid.uuid4().hex}"
        sealed = sealed_environment("a search's training function runs in this process")
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", serve, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": path, self._mark: "1"} | sealed,
                start_new_session=True,  # Ctrl-C reaches this process alone, which then ends the server
            )
        self.connection = Connection(ours.detach())
        if not self.connection.poll(_START_LIMIT):
            self.close()
            raise RuntimeError(f"the process for training functions did not start within {_START_LIMIT:g} s")
        try:
            self.connection.recv()
        except EOFError as error:
            self.close()
            raise RuntimeError("the process for training functions ended as it started") from error

    def close(self) -> None:
        self.connection.close()
        try:
            self.process.wait(_STOP_LIMIT)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        if self.process.returncode != 0:  # it could not end what it had started
            kill_marked(self._mark)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # not fully constructed, or closed before
            if not self.connection.closed:
                self.close()


class ServerDied(Exception):
    """The server ended, or does not answer: its connection is of no more use."""


@dataclass
class FunctionCall:
    """One request to a server, from sending it to the end of the child.

    Attributes:
        metrics: the last ones, by name, the one that ranks first.
        lost: whether something from outside ended it, such as the system when memory runs out.
        child: process id of the training.
        keywords: those that the function takes, where that was asked.
    """

    server: Connection
    time_limit: float | None
    on_metric: OnMetric | None
    curve: list[tuple[int, float]] = field(default_factory=list)
    metrics: dict[str, float] = field(default_factory=dict)
    status: Status | None = None
    message: str = ""
    lost: bool = False
    child: int | None = None
    keywords: frozenset[str] = frozenset()

    def run(self, request: Request) -> Outcome:
        start = time.perf_counter()
        self._send(request)
        while (message := self._next(start))[0] != Message.EXIT:
            if self.status is None:
                self._on_message(*message)
        self._on_exit(*message[1:])
        ended_well = self.status is Status.OK and bool(self.curve)
        metric, metrics = (self.curve[-1][1], self.metrics) if ended_well else (None, {})
        seconds = time.perf_counter() - start
        return Outcome(self.status or Status.ERROR, metric, tuple(self.curve), seconds, self.message, metrics)

    def _next(self, start: float) -> tuple[Any, ...]:
        try:
            if self.status is None and self.time_limit is not None:
                left = start + self.time_limit - time.perf_counter()
                if left <= 0 or not self.server.poll(left):
                    self._stop(Status.TIMEOUT, f"not finished after {self.time_limit:g} s")
            if self.status is not None and not self.server.poll(_STOP_LIMIT):
                raise ServerDied("no answer to a stop")
            return self.server.recv()
        except (EOFError, OSError) as error:
            raise ServerDied(str(error)) from error

    def _stop(self, status: Status, message: str) -> None:
        self.status, self.message = status, message
        self._send("stop")

    def _send(self, message: object) -> None:
        try:
            self.server.send(message)
        except OSError as error:
            raise ServerDied(str(error)) from error

    def _on_message(self, kind: Message, *content: Any) -> None:
        match kind:
            case Message.STARTED:
                self.child = content[0]
            case Message.KEYWORDS:
                self.keywords, self.status = frozenset(content[0]), Status.OK
            case Message.METRICS:
                self.metrics = content[0]
                self._on_value(next(iter(self.metrics.values())))
            case Message.DONE if self.curve:
                self.status = Status.OK
            case Message.DONE:
                self.status, self.message = Status.ERROR, "the function ended without yielding a metric"
            case Message.OUT_OF_MEMORY:
                self.status, self.message = Status.OUT_OF_MEMORY, content[0]
            case Message.ERROR:
                self.status, self.message = Status.ERROR, content[0]

    def _on_value(self, value: float) -> None:
        count = self.curve[-1][0] + 1 if self.curve else 1
        if not math.isfinite(value):
            self._stop(Status.DIVERGED, f"metric number {count} is {value}")
            return
        self.curve.append((count, value))
        if len(self.curve) > _MOST_POINTS:
            del self.curve[1:-1:2]  # a function may yield for ever
        if self.on_metric is not None and not self.on_metric(count, value):
            self._stop(Status.OK, f"stopped after metric number {count}")

    def _on_exit(self, exit_code: int, output: str) -> None:
        if self.status is None:
            if exit_code == UNHEARD:
                how = "could not tell how it ended: the function closed file descriptors that it had not opened"
            else:
                how = f"was killed by {_named(-exit_code)}" if exit_code < 0 else f"ended with exit code {exit_code}"
            self.status, self.message = Status.ERROR, f"the training process {how}"
            self.lost = -exit_code in _FROM_OUTSIDE
        if self.status in (Status.ERROR, Status.TIMEOUT) and output.strip():
            self.message = after_output(output.rstrip().splitlines(), self.message)


def _named(number: int) -> str:
    """A signal with its name, such as SIGSEGV, and what it means."""
    meaning = signal.strsignal(number) or "unknown"
    known = number in set(signal.Signals)
    return f"signal {number}" + (f" ({signal.Signals(number).name}: {meaning.lower()})" if known else "")
