"""Killing a process with everything that it started, in process groups of their own too.

On Linux the server of training functions adopts what its children leave behind, so that it can find and kill every
descendant. Not covered: what another program starts on a training's behalf (a container engine, a batch system, a
shell on another machine), and, on other systems than Linux, what started a process group of its own.
"""

from __future__ import annotations

import contextlib
import ctypes
import os
import signal
import sys
from collections.abc import Iterator
from pathlib import Path

_PR_SET_PDEATHSIG, _PR_SET_CHILD_SUBREAPER = 1, 36  # of prctl(2)
_PROCESSES = Path("/proc")
_ROUNDS = 100  # of looking for processes that were started while others were killed


def adopt_orphans() -> None:
    """Have every descendant whose parent ends become this process's own child."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_CHILD_SUBREAPER, 1)


def end_with(parent: int) -> None:
    """Have this process killed when its parent ends, however that comes about."""
    if sys.platform == "linux":
        ctypes.CDLL(None).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    if os.getppid() != parent:  # it ended before this took effect
        os._exit(1)


def kill_session(leader: int) -> None:
    """Kill a child and its process group."""
    # The group does not exist until the child has called setsid.
    for kill in (os.killpg, os.kill):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            kill(leader, signal.SIGKILL)


def kill_children() -> None:
    """Kill all children of this process, those that it adopts meanwhile too, until there are none."""
    while True:
        for process, parent in _parents():
            if parent == os.getpid():
                _kill(process)
        try:
            os.waitpid(-1, 0)
        except ChildProcessError:
            return


def reap_orphans(child: int) -> None:
    """Take note of the end of adopted processes, but leave that of `child` to whoever waits for it."""
    with contextlib.suppress(ChildProcessError):
        while (ended := os.waitid(os.P_ALL, 0, os.WEXITED | os.WNOHANG | os.WNOWAIT)) and ended.si_pid != child:
            os.waitpid(ended.si_pid, 0)


def kill_marked(mark: str) -> None:
    """Kill every process that was started with the environment variable `mark`, and what those started."""
    for _ in range(_ROUNDS):
        found = list(_marked(mark))
        if not found:
            return
        for process in found:
            _kill(process)


def _marked(mark: str) -> Iterator[int]:
    entry = f"{mark}=".encode()
    for process, _ in _parents():
        with contextlib.suppress(OSError):  # another user's, or it has just ended; a dead one's is empty
            variables = (_PROCESSES / str(process) / "environ").read_bytes().split(b"\0")
            if any(variable.startswith(entry) for variable in variables):
                yield process


def _parents() -> Iterator[tuple[int, int]]:
    """Every process with its parent; none where the system does not tell."""
    for folder in _PROCESSES.glob("[0-9]*"):
        with contextlib.suppress(OSError):  # it has just ended
            status = (folder / "stat").read_text(errors="replace")
            # The name, in parentheses, may hold anything.
            yield int(folder.name), int(status.rpartition(")")[2].split()[1])


def _kill(process: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.kill(process, signal.SIGKILL)
