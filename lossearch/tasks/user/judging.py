"""The method `judge` of a user's class, which gives the metric of predictions, in a process of its own.

Unlike trainings, of which each has a fresh process, one process answers for as long as the task is used: screening asks
once for each candidate, and to import the user's code each time would take longer than what is asked.
"""

from __future__ import annotations

import contextlib
import os
import traceback
from collections.abc import Callable, Mapping
from multiprocessing.connection import Connection
from typing import Any

import torch
from torch import Tensor

from lossearch.errors import UserError
from lossearch.tasks.user.descendants import end_with
from lossearch.tasks.user.server import Server
from lossearch.tasks.user.values import as_metrics
from lossearch.tasks.user.worker import Message, Request, requested_function

_SERVE = "import sys; from lossearch.tasks.user.judging import serve_on; serve_on(int(sys.argv[1]))"

Inputs = Mapping[str, Any]
"""What a loss is given, by name; of one of several losses under the name of its slot."""


class NotJudged(UserError):
    """The method gave no metric of some predictions."""


class Judging:
    """The process in which the method is called; it starts with the first question, and anew where it ended.

    Args:
        request: names the function and the metric.
        time_limit: seconds for one answer, with the first of which the user's code is imported; None for no limit.
    """

    def __init__(self, request: Request, time_limit: float | None) -> None:
        self._request, self._time_limit = request, time_limit
        self._server: Server | None = None

    def value(self, inputs: Inputs) -> float | None:
        """The metric of predictions; None where the method gives None.

        Raises:
            NotJudged: the method raises, gives no number, takes longer than the limit, or its process ends.
        """
        try:
            if self._server is None:
                self._server = Server(_SERVE)
                self._server.connection.send(self._request)
            connection = self._server.connection
            # As arrays, since tensors would cross process borders in shared memory.
            connection.send(_mapped(inputs, lambda x: x.numpy()))
            if not connection.poll(self._time_limit):
                self.close()
                raise self._failed(f"not finished after {self._time_limit:g} s")
            kind, content = connection.recv()
        except (EOFError, OSError) as error:
            self.close()
            raise self._failed("its process ended") from error
        if kind == Message.ERROR:
            raise self._failed(content)
        return content

    def _failed(self, found: str) -> NotJudged:
        required = (
            f"judge() of {self._request.function} to give the metric of predictions, as a number or a mapping with it"
        )
        return NotJudged(required, found, "mend it, or leave the method out: screening then does without your metric")

    def close(self) -> None:
        """End the process, if there is one."""
        if self._server is not None:
            self._server.close()
            self._server = None


def serve_on(descriptor: int) -> None:
    """Answer on a connected socket, given by its file descriptor, until the parent closes it."""
    end_with(os.getppid())
    silent = os.open(os.devnull, os.O_WRONLY)
    for stream in (1, 2):
        os.dup2(silent, stream)
    torch.set_num_threads(1)
    with Connection(descriptor) as parent, contextlib.suppress(EOFError, OSError):  # raised once the parent has gone
        parent.send((Message.READY,))
        request: Request = parent.recv()
        judge: Callable[[Inputs], Any] | None = None
        while True:
            inputs = _mapped(parent.recv(), torch.from_numpy)
            try:
                judge = judge or _method(request)
                torch.manual_seed(request.seed)
                value = judge(inputs)
                answer = None if value is None else as_metrics(value, request.metric)[request.metric]
            except Exception as error:  # whatever the user's code raises
                frame = traceback.extract_tb(error.__traceback__)[-1]
                parent.send((Message.ERROR, f"{type(error).__name__}: {error} ({frame.filename}, line {frame.lineno})"))
            else:
                parent.send((Message.METRICS, answer))


def _method(request: Request) -> Callable[[Inputs], Any]:
    instance: Any = getattr(requested_function(request), "__self__", None)
    return instance.judge


def _mapped(inputs: Inputs, change: Callable[[Any], Any]) -> dict[str, Any]:
    """The tensors or arrays changed, also those within a slot's mapping."""
    return {
        name: _mapped(value, change) if isinstance(value, Mapping) else change(value) for name, value in inputs.items()
    }


def given(slot: str, inputs: Mapping[str, Tensor], several: bool) -> Inputs:
    """What the method is given: the loss's inputs, of a function with several losses under the name of the slot."""
    plain = {name: tensor.detach().cpu().contiguous() for name, tensor in inputs.items()}
    return {slot: plain} if several else plain
