"""The process that runs a user's training function: a small server that forks one child per evaluation.

Started by `serve_on`, with a connected socket as inherited file descriptor. The server has imported torch, so
that a child is ready within milliseconds; the child alone imports the user's code, in a session of its own.
Once the child has ended, the server kills whatever it left running (`descendants.py`); before the next one it
imports the installed packages that the child imported. The server outlives
children that crash or are killed; when its own parent ends, it ends too and takes the child with it.
"""

from __future__ import annotations

import contextlib
import os
import pickle
import sys
import tempfile
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from multiprocessing.connection import Connection, wait
from typing import IO, Any, NoReturn

import torch

from lossearch.errors import UserError
from lossearch.failure_text import traceback_text
from lossearch.tasks.outcome import is_out_of_memory
from lossearch.tasks.user.calling import keywords_of, training_function
from lossearch.tasks.user.descendants import adopt_orphans, end_with, kill_children, kill_session, reap_orphans
from lossearch.tasks.user.first_call import RecordingLoss
from lossearch.tasks.user.function import load_function
from lossearch.tasks.user.pickled_function import is_pickled, prepare_to_unpickle, unpickled
from lossearch.tasks.user.values import NoMetric, as_metrics, metrics_in
from lossearch.tasks.user.warm_imports import import_noted, imported_names, note_imports, read_noted

_POLL = 0.02  # seconds between looks at whether the child has ended
UNHEARD = 113
"""Exit code of a training that cannot tell how it ended, as its function closed the descriptor for that."""

_OUTPUT_TAIL = 2000  # bytes of what the child printed that are passed on


class Message(StrEnum):
    """First item of every message to the parent; what follows it is in parentheses."""

    READY = "ready"  # ()
    STARTED = "started"  # (process id of the child, which is also that of its session,)
    KEYWORDS = "keywords"  # (those of `calling.KEYWORDS` that the function takes,)
    METRICS = "metrics"  # (number by name, the ranking one first,)
    DONE = "done"  # ()
    ERROR = "error"  # (text,)
    OUT_OF_MEMORY = "out_of_memory"  # (text,)
    EXIT = "exit"  # (exit code, what the child printed last)


@dataclass(frozen=True)
class Request:
    """One evaluation, or a question about the function.

    Attributes:
        function: reference to the user's function, or what it is called where it is given pickled.
        loss_factory: pickled callable without arguments that makes the loss.
        budget: passed on.
        seed: passed on; torch's global generator is seeded with it, too.
        metric: key of the metric that ranks, where the function yields mappings.
        required: keys of further metrics that it must yield.
        pickled: the function itself, where it has no reference.
        folder: working directory of the function; None for the server's.
        keywords: given to a function that takes them; see `calling.KEYWORDS`.
        ask: whether to tell the keywords that the function takes, in place of calling it.
    """

    function: str
    loss_factory: bytes
    budget: int
    seed: int
    metric: str
    pickled: bytes | None = None
    folder: str | None = None
    keywords: Mapping[str, Any] = field(default_factory=dict)
    required: tuple[str, ...] = ()
    ask: bool = False


def serve_on(descriptor: int) -> None:
    """Answer requests on a connected socket, given by its file descriptor, until the parent closes it."""
    adopt_orphans()
    with Connection(descriptor) as parent:
        _serve(parent)


def _serve(parent: Connection) -> None:
    parent.send((Message.READY,))
    noted: list[str] = []
    with contextlib.suppress(EOFError, OSError):  # raised once the parent has gone
        while True:
            request = parent.recv()
            if isinstance(request, Request):  # a late wish to stop may also arrive here
                noted = _run_child(parent, request, noted)


def _run_child(parent: Connection, request: Request, noted: list[str]) -> list[str]:
    """Fork, relay the child's messages, and report its end.

    What an earlier child imported is imported before, not as that ends: many servers have one call only.

    Args:
        parent: who is told.
        request: what the child does.
        noted: the installed modules that an earlier child imported.

    Returns:
        Those that this child imported.
    """
    import_noted(noted)
    if request.pickled is not None or is_pickled(request.function):
        prepare_to_unpickle()  # once, so that no child has to
    reader_fd, writer_fd = os.pipe()
    with tempfile.TemporaryFile() as output, tempfile.TemporaryFile() as imports:
        server = os.getpid()
        child = os.fork()
        if child == 0:
            os.setsid()
            end_with(server)
            for stream in (1, 2):
                os.dup2(output.fileno(), stream)
            for unused in (reader_fd, parent.fileno()):
                os.close(unused)
            _evaluate_and_exit(request, Connection(writer_fd, readable=False), imports)
        os.close(writer_fd)
        try:
            parent.send((Message.STARTED, child))
            with Connection(reader_fd, writable=False) as reader:
                exit_code = _relay(parent, reader, child)
        except (EOFError, OSError):
            kill_session(child)
            kill_children()
            raise
        size = output.seek(0, os.SEEK_END)
        output.seek(max(0, size - _OUTPUT_TAIL))
        parent.send((Message.EXIT, exit_code, output.read().decode(errors="replace")))
        return read_noted(imports) if exit_code == 0 else []


def _relay(parent: Connection, reader: Connection, child: int) -> int:
    """Pass messages on until the child has ended; its exit code. Whatever the parent says means: stop it.

    Only whole messages are passed on, so a child killed in the middle of one does no harm.
    """
    while True:
        reap_orphans(child)
        ended = os.waitid(os.P_PID, child, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
        if ended:
            kill_session(child)  # its number is still its own, as it is not yet reaped
            exit_code = os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])
            kill_children()
            while _pass_on(reader, parent):
                pass
            return exit_code
        # One message at a time, so that a child that never stops talking cannot keep the parent from being heard.
        wait([parent, reader], timeout=_POLL)
        if parent.poll():
            parent.recv()
            kill_session(child)
        elif not _pass_on(reader, parent):
            time.sleep(_POLL)


def _pass_on(reader: Connection, parent: Connection) -> bool:
    """Pass on one message, if there is one, and say whether there was."""
    try:
        message = reader.recv_bytes() if reader.poll() else None
    except (EOFError, OSError):  # the end, or half a message
        return False
    if message is not None:
        parent.send_bytes(message)
    return message is not None


def _evaluate_and_exit(request: Request, parent: Connection, imports: IO[bytes]) -> NoReturn:
    """Run the user's function in this process, send what it yields, note what it imported, and end the process."""
    before, exit_code = imported_names(), 0
    try:
        _evaluate(request, parent)
    except NoMetric as error:
        exit_code = _tell(parent, Message.ERROR, str(error))
    except BaseException as error:
        kind = Message.OUT_OF_MEMORY if is_out_of_memory(error) else Message.ERROR
        exit_code = _tell(parent, kind, traceback_text(error).rstrip())
    finally:
        for stream in (sys.stdout, sys.stderr):
            with contextlib.suppress(AttributeError, ValueError, OSError):  # the function replaced or closed it
                stream.flush()
        try:
            note_imports(imports, before)
        finally:  # also where the function has closed that file: this process must not go on as the server
            os._exit(exit_code)


def _tell(parent: Connection, kind: Message, text: str) -> int:
    """Send why a training failed; the exit code of its process."""
    try:
        parent.send((kind, text))
    except OSError:  # the function closed the descriptor
        return UNHEARD
    return 0


def _record_described(loss: Any, describe: Callable[[], Any], seed: int) -> None:
    """Where first calls are recorded, take what `describe()` tells for them, which ends the call."""
    if isinstance(loss, RecordingLoss):
        loss.record_described(describe(), seed)
    elif isinstance(loss, dict) and all(isinstance(one, RecordingLoss) for one in loss.values()):
        told = describe()
        if not isinstance(told, Mapping) or told.keys() != loss.keys():
            required = f"describe() to return a mapping for each slot: {', '.join(loss)}"
            raise UserError(required, f"{told!r:.200}", "give one for each")
        for slot, one in loss.items():
            one.record_described(told[slot], seed)


def requested_function(request: Request) -> Callable[..., Any]:
    """The training function that a request names; the process works in its folder from then on."""
    if request.folder is not None:
        os.chdir(request.folder)
    return training_function(load_function(request.function) if request.pickled is None else unpickled(request.pickled))


def _evaluate(request: Request, parent: Connection) -> None:
    function = requested_function(request)
    taken = keywords_of(function)
    if request.ask:
        parent.send((Message.KEYWORDS, sorted(taken)))
        return
    loss = pickle.loads(request.loss_factory)()
    torch.manual_seed(request.seed)
    owner = getattr(function, "__self__", None)
    for one in loss.values() if isinstance(loss, dict) else [loss]:
        if isinstance(one, RecordingLoss):
            one.judged = callable(getattr(owner, "judge", None))
    describe = getattr(owner, "describe", None)
    if callable(describe):
        _record_described(loss, describe, request.seed)
    given = {name: value for name, value in request.keywords.items() if name in taken}
    for value in metrics_in(function(loss, request.budget, request.seed, **given), request.function):
        parent.send((Message.METRICS, as_metrics(value, request.metric, request.required)))
    parent.send((Message.DONE,))
