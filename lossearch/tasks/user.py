"""The user's own training function as a task, run in a process that can be stopped."""

from __future__ import annotations

import contextlib
import math
import os
import pickle
import socket
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from multiprocessing.connection import Connection
from pathlib import Path
from typing import Any, Self

from lossearch.errors import UserError
from lossearch.tasks.outcome import Outcome, Status
from lossearch.tasks.user_function import reference_to
from lossearch.tasks.user_worker import Message, Request, kill_session

LossFactory = Callable[[], Any]
"""Makes the loss, in another process; must be picklable, such as `torch.nn.CrossEntropyLoss`."""

OnMetric = Callable[[int, float], bool]
"""`(number of metrics so far, metric) -> whether to go on`."""

_START_LIMIT = 120.0  # seconds in which a fresh server must have imported torch
_SERVE = "import sys; from lossearch.tasks.user_worker import serve_on; serve_on(int(sys.argv[1]))"
_OUTPUT_MARK = "| "  # of what the training printed, in a message
_STOP_LIMIT = 10.0  # seconds in which a server must confirm that a child is dead


class UserTask:
    """A task that is the user's own function `train(loss, budget, seed) -> iterator of metrics`.

    The function trains with `loss` for `budget` units (its own: epochs, steps) and yields, as often as it
    likes, the metric on its own validation data: a number, or a mapping that contains `metric`. The last one
    counts. It draws all randomness from `seed`. Every evaluation runs in a fresh process: nothing leaks from
    one to the next, and one that hangs is killed together with the processes that it started.

    Args:
        function: the function, or its name: "path/to/file.py:function" or "module:function".
        metric: name of the metric.
        higher_is_better: its direction.
        time_limit: seconds for one evaluation, the import of the user's code included; None for no limit.

    Raises:
        UserError: the function has no name under which another process could find it, or the limit is not
            positive.
    """

    def __init__(
        self,
        function: str | Callable[..., Any],
        metric: str = "metric",
        higher_is_better: bool = True,
        time_limit: float | None = None,
    ) -> None:
        if time_limit is not None and not time_limit > 0:
            raise UserError("a positive time limit in seconds", str(time_limit), "raise it, or leave it out")
        self.function = _absolute(function if isinstance(function, str) else reference_to(function))
        self.metric = metric
        self.higher_is_better = higher_is_better
        self.time_limit = time_limit
        self._server: _Server | None = None

    def evaluate(self, loss_factory: LossFactory, budget: int, seed: int, on_metric: OnMetric | None = None) -> Outcome:
        """Train once with the loss that `loss_factory` makes.

        Args:
            loss_factory: see `LossFactory`.
            budget: passed to the function.
            seed: passed to the function.
            on_metric: called with each metric; returning False stops the training, with the status OK.

        Returns:
            OK with the last metric; DIVERGED if a metric is not finite; ERROR with the traceback if the
            function raises, yields nothing or its process dies; TIMEOUT; OUT_OF_MEMORY. The steps of the
            curve count yields.

        Raises:
            UserError: there is no such function, it cannot be imported, it yields something else than
                metrics, or the loss factory cannot be pickled.
        """
        request = Request(self.function, _pickled(loss_factory), budget, seed, self.metric)
        server = self._running_server()
        evaluation = _Evaluation(server.connection, self.time_limit, on_metric)
        try:
            outcome = evaluation.run(request)
        except _ServerDied:
            self.close()
            if evaluation.child is not None:
                kill_session(evaluation.child)
            message = "the process that runs training functions died"
            return Outcome(Status.ERROR, None, tuple(evaluation.curve), 0.0, message)
        except BaseException:  # Ctrl-C, or an error in on_metric: the child must not go on
            self.close()
            raise
        if evaluation.user_error is not None:
            raise evaluation.user_error
        return outcome

    def close(self) -> None:
        """End the process that runs evaluations, with any under way. The next evaluation starts another."""
        if self._server is not None:
            self._server.close()
            self._server = None

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_server": None}

    def __repr__(self) -> str:
        return f"UserTask({self.function!r}, metric={self.metric!r})"

    def _running_server(self) -> _Server:
        if self._server is not None and self._server.process.poll() is not None:
            self.close()
        if self._server is None:
            self._server = _Server()
        return self._server


class _Server:
    """The process of `user_worker.serve`, which ends when this end of its connection is closed."""

    def __init__(self) -> None:
        ours, theirs = socket.socketpair()
        path = os.pathsep.join(entry or os.getcwd() for entry in [*sys.path, ""])
        with theirs:
            self.process = subprocess.Popen(
                [sys.executable, "-c", _SERVE, str(theirs.fileno())],
                pass_fds=[theirs.fileno()],
                stdin=subprocess.DEVNULL,
                env=os.environ | {"PYTHONPATH": path},
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

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):  # not fully constructed, or closed before
            if not self.connection.closed:
                self.close()


class _ServerDied(Exception):
    """The server ended, or does not answer: its connection is of no more use."""


@dataclass
class _Evaluation:
    """One request to a server, from sending it to the end of the child."""

    server: Connection
    time_limit: float | None
    on_metric: OnMetric | None
    curve: list[tuple[int, float]] = field(default_factory=list)
    status: Status | None = None
    message: str = ""
    user_error: UserError | None = None
    child: int | None = None

    def run(self, request: Request) -> Outcome:
        start = time.perf_counter()
        self._send(request)
        while (message := self._next(start))[0] != Message.EXIT:
            if self.status is None:
                self._on_message(*message)
        self._on_exit(*message[1:])
        metric = self.curve[-1][1] if self.status is Status.OK else None
        seconds = time.perf_counter() - start
        return Outcome(self.status or Status.ERROR, metric, tuple(self.curve), seconds, self.message)

    def _next(self, start: float) -> tuple[Any, ...]:
        try:
            if self.status is None and self.time_limit is not None:
                left = start + self.time_limit - time.perf_counter()
                if left <= 0 or not self.server.poll(left):
                    self._stop(Status.TIMEOUT, f"not finished after {self.time_limit:g} s")
            if self.status is not None and not self.server.poll(_STOP_LIMIT):
                raise _ServerDied("no answer to a stop")
            return self.server.recv()
        except (EOFError, OSError) as error:
            raise _ServerDied(str(error)) from error

    def _stop(self, status: Status, message: str) -> None:
        self.status, self.message = status, message
        self._send("stop")

    def _send(self, message: object) -> None:
        try:
            self.server.send(message)
        except OSError as error:
            raise _ServerDied(str(error)) from error

    def _on_message(self, kind: Message, *content: Any) -> None:
        match kind:
            case Message.STARTED:
                self.child = content[0]
            case Message.METRIC:
                self._on_value(*content)
            case Message.DONE if self.curve:
                self.status = Status.OK
            case Message.DONE:
                self.status, self.message = Status.ERROR, "the function ended without yielding a metric"
            case Message.USER_ERROR:
                self.status, self.user_error = Status.ERROR, UserError(*content)
            case Message.OUT_OF_MEMORY:
                self.status, self.message = Status.OUT_OF_MEMORY, content[0]
            case Message.ERROR:
                self.status, self.message = Status.ERROR, content[0]

    def _on_value(self, value: float) -> None:
        count = len(self.curve) + 1
        if not math.isfinite(value):
            self._stop(Status.DIVERGED, f"metric number {count} is {value}")
            return
        self.curve.append((count, value))
        if self.on_metric is not None and not self.on_metric(count, value):
            self._stop(Status.OK, f"stopped after metric number {count}")

    def _on_exit(self, exit_code: int, output: str) -> None:
        if self.status is None:
            how = f"was killed by signal {-exit_code}" if exit_code < 0 else f"ended with exit code {exit_code}"
            self.status, self.message = Status.ERROR, f"the training process {how}"
        if self.status in (Status.ERROR, Status.TIMEOUT) and output.strip():
            # First and marked, so that the reason ends the message, whatever of its beginning is cut off.
            lines = [f"{_OUTPUT_MARK}{line}" for line in output.rstrip().splitlines()]
            self.message = "\n".join(["last output:", *lines, self.message])


def _absolute(reference: str) -> str:
    """A file's reference with its absolute path, so that it stays good when the working directory changes."""
    place, colon, name = reference.rpartition(":")
    return f"{Path(place).resolve()}{colon}{name}" if place.endswith(".py") else reference


def _pickled(loss_factory: LossFactory) -> bytes:
    try:
        return pickle.dumps(loss_factory)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise UserError(
            "a loss factory that can be pickled, as training runs in a process of its own",
            f"{loss_factory!r}: {error}",
            "pass a class, a module-level function, or a functools.partial of one",
        ) from error
