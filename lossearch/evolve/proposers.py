"""Ways to somebody outside who proposes formulas: a process, a pair of files, a Python function."""

from __future__ import annotations

import fcntl
import json
import os
import selectors
import subprocess
import tempfile
import time
import weakref
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Protocol

from lossearch.errors import UserError
from lossearch.tasks.user.function import is_file_reference, load_function

Message = Mapping[str, Any]

LONGEST_LINE = 1_000_000
"""Bytes of one answer."""

_POLL_S = 0.1
_TAIL = 1000  # of what a process wrote to stderr
_MEND = "mend it; lossearch resume goes on from the last whole generation"


class Proposer(Protocol):
    """Takes messages and answers with lines of JSON.

    Attributes:
        remembers: whether what was sent is still known to it after an interruption.
        place: how far its answers have been read, for a state.
    """

    remembers: bool
    place: int

    def send(self, messages: Sequence[Message]) -> None:
        """Send messages, each a line of JSON; raises `UserError` where nobody takes them."""
        ...

    def receive(self) -> str:
        """The next line; raises `UserError` where none comes."""
        ...


def lines_of(messages: Sequence[Message]) -> bytes:
    """One JSON object a line."""
    return "".join(json.dumps(message, ensure_ascii=False) + "\n" for message in messages).encode()


class ProcessProposer:
    """A process that reads messages from its standard input and answers on its standard output.

    It is started with the first message, and ended with this object: its input is closed, and it is killed where it
    goes on for more than a second.

    Args:
        command: program and arguments.
        folder: in which it runs.
        limit_s: seconds for an answer.
    """

    remembers = False

    def __init__(self, command: Sequence[str], folder: Path, limit_s: float) -> None:
        self.command, self.folder, self.limit_s = list(command), folder, limit_s
        self.place = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._errors: IO[bytes] | None = None
        self._read = b""

    def send(self, messages: Sequence[Message]) -> None:
        """Write the messages; what it answers meanwhile is kept."""
        process = self._process or self._start()
        assert process.stdin is not None
        left, deadline = memoryview(lines_of(messages)), time.monotonic() + self.limit_s
        while left:
            if self._wait(deadline, writing=True):
                try:
                    left = left[os.write(process.stdin.fileno(), left) :]
                except BlockingIOError:
                    continue
                except BrokenPipeError:
                    raise self._ended() from None

    def receive(self) -> str:
        """The next line of its standard output."""
        deadline = time.monotonic() + self.limit_s
        if self._process is None:
            self._start()
        while b"\n" not in self._read:
            self._wait(deadline, writing=False)
        line, _, self._read = self._read.partition(b"\n")
        return line.decode("utf-8", "replace")

    def _start(self) -> subprocess.Popen[bytes]:
        self._errors = tempfile.TemporaryFile()  # noqa: SIM115 - it lives as long as the process
        try:
            process = subprocess.Popen(
                self.command, cwd=self.folder, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=self._errors
            )
        except (OSError, ValueError) as error:
            self._errors.close()
            raise UserError("a command that can be run", f"{self.command}: {error}", "correct method.command") from None
        assert process.stdin is not None
        assert process.stdout is not None
        for pipe in (process.stdin, process.stdout):
            os.set_blocking(pipe.fileno(), False)
        self._process = process
        weakref.finalize(self, _end, process, self._errors)
        return process

    def _wait(self, deadline: float, writing: bool) -> bool:
        """Wait until it answers or, if `writing`, takes something, which is told; what it answers is read."""
        process = self._process
        assert process is not None
        assert process.stdin is not None
        assert process.stdout is not None
        left = deadline - time.monotonic()
        if left <= 0.0:
            raise UserError(f"an answer within {self.limit_s:g} s", f"none of {self.command}", "raise method.limit_s")
        with selectors.DefaultSelector() as waiting:
            waiting.register(process.stdout, selectors.EVENT_READ)
            if writing:
                waiting.register(process.stdin, selectors.EVENT_WRITE)
            ready = {key.fileobj for key, _ in waiting.select(left)}
        if process.stdout in ready:
            found = os.read(process.stdout.fileno(), 65536)
            if not found:
                raise self._ended()
            self._read += found
            if b"\n" not in self._read and len(self._read) > LONGEST_LINE:
                raise UserError(f"lines of at most {LONGEST_LINE} bytes", f"more of {self.command}", _MEND)
        return process.stdin in ready

    def _ended(self) -> UserError:
        assert self._process is not None
        assert self._errors is not None
        try:
            how = f"it ended with exit code {self._process.wait(_POLL_S * 10)}"
        except subprocess.TimeoutExpired:
            how = "it closed its output"
        self._errors.seek(0, os.SEEK_END)
        self._errors.seek(max(0, self._errors.tell() - _TAIL))
        said = self._errors.read().decode("utf-8", "replace").strip()
        return UserError(f"a process that goes on answering: {self.command}", f"{how}; {said or 'no message'}", _MEND)


def _end(process: subprocess.Popen[bytes], errors: IO[bytes]) -> None:
    """Close its input, which tells it to end, and make sure that it does."""
    assert process.stdin is not None
    assert process.stdout is not None
    process.stdin.close()
    try:
        process.wait(1.0)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
    process.stdout.close()
    errors.close()


class FileProposer:
    """Two files: messages are appended to one, and answers are read from the other as they are appended there.

    Args:
        requests: file that lossearch writes; one search at a time writes to it.
        answers: file that it reads, from its beginning.
        limit_s: seconds for an answer.
    """

    remembers = True

    def __init__(self, requests: Path, answers: Path, limit_s: float) -> None:
        self.requests, self.answers, self.limit_s = requests, answers, limit_s
        self.place = 0
        self._file: IO[bytes] | None = None

    def send(self, messages: Sequence[Message]) -> None:
        """Append the messages."""
        file = self._file or self._open()
        file.write(lines_of(messages))
        file.flush()

    def _open(self) -> IO[bytes]:
        try:
            file = open(self.requests, "ab")  # noqa: SIM115 - its lock is held as long as this object lives
        except OSError as error:
            raise UserError("a file for requests", f"{error}", "correct method.requests") from None
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            file.close()
            hint = "set islands = 1, or end the other search"
            raise UserError(f"one search that asks in {self.requests}", "another one", hint) from None
        weakref.finalize(self, file.close)
        self._file = file
        return file

    def receive(self) -> str:
        """The next line of the answers, once it is there as a whole."""
        deadline = time.monotonic() + self.limit_s
        while True:
            line = self._line()
            if line.endswith(b"\n"):
                self.place += len(line)
                return line.decode("utf-8", "replace")
            if len(line) > LONGEST_LINE:
                raise UserError(f"lines of at most {LONGEST_LINE} bytes", f"more in {self.answers}", _MEND)
            if time.monotonic() > deadline:
                found = f"none in {self.answers} after byte {self.place}"
                raise UserError(f"an answer within {self.limit_s:g} s", found, "raise method.limit_s")
            time.sleep(_POLL_S)

    def _line(self) -> bytes:
        try:
            with open(self.answers, "rb") as file:
                file.seek(self.place)
                return file.readline(LONGEST_LINE + 1)
        except FileNotFoundError:
            return b""
        except OSError as error:
            raise UserError("a file with answers", f"{error}", "correct method.answers") from None


class FunctionProposer:
    """A Python function that is called with each message; what it returns for a request is the answer.

    Args:
        function: itself, or `FILE.py:NAME` or `MODULE:NAME`, which is imported with the first message.
        folder: that a file's path is relative to.
    """

    remembers = False

    def __init__(self, function: Callable[[Message], Any] | str, folder: Path) -> None:
        self.function, self.folder = function, folder
        self.place = 0
        self._answer: Any = None

    def send(self, messages: Sequence[Message]) -> None:
        """Call it with each message; its last answer is kept."""
        if isinstance(self.function, str):
            inside = is_file_reference(self.function)
            self.function = load_function(str(self.folder / self.function) if inside else self.function)
        for message in messages:
            try:
                self._answer = self.function(message)
            except Exception as error:  # of the user's code, where anything may go wrong
                told = f"{type(error).__name__}: {error}"
                raise UserError("a function that proposes", told, _MEND) from error

    def receive(self) -> str:
        """Its answer; a list is that of the formulas."""
        answer = {"formulas": self._answer} if isinstance(self._answer, (list, tuple)) else self._answer
        try:
            return json.dumps(answer)
        except (TypeError, ValueError) as error:
            raise UserError("a list of formulas as text", f"{answer!r:.80}: {error}", _MEND) from None
