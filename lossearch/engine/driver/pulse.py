"""Whether the Ray that a search runs on still answers: its control service, and the node of this process.

Both are gRPC servers. One whose process stands still, as after SIGSTOP, or on a machine that swaps, still has its
connections accepted, by the system; so a greeting is sent, which only a process that runs returns.
"""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

import ray

_POLL_SECONDS = 1.0
_ANSWER_SECONDS = 2.0
_NODE_SECONDS = 3.0  # a node that died never comes back, and Ray ends this process a few seconds later, from C++
_HEAD_SECONDS = 20.0  # in which the head of a cluster may be started again
_FROZEN_SECONDS = 60.0  # in which a process that accepts connections, and says nothing, may go on

# What a client of HTTP/2 says first (RFC 9113, 3.4), and a SETTINGS frame without settings; a server returns its own.
_GREETING = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + bytes(3) + b"\x04" + bytes(5)

State = Literal["answers", "silent", "gone"]


@dataclass(frozen=True)
class Endpoint:
    """A process of Ray's that listens.

    Attributes:
        name: what it is, in words.
        host, port: where it listens.
        patience: how many seconds it may be gone.
    """

    name: str
    host: str
    port: int
    patience: float

    def __str__(self) -> str:
        return f"{self.name} at {self.host}:{self.port}"

    def state(self) -> State:
        """Whether it answers a greeting, accepts connections and is silent, or is gone or out of reach."""
        try:
            with socket.create_connection((self.host, self.port), timeout=_ANSWER_SECONDS) as connection:
                try:
                    connection.sendall(_GREETING)
                    connection.recv(1)  # the end of the connection is an answer, too, as of a server that wants TLS
                except TimeoutError:
                    return "silent"
                except ConnectionError:
                    return "answers"
        except OSError:
            return "gone"
        return "answers"


def ray_endpoints() -> tuple[Endpoint, ...]:
    """What this process cannot do without: the head's control service and the node through which it is connected."""
    context = ray.get_runtime_context()
    host, _, port = context.gcs_address.rpartition(":")
    own = context.get_node_id()
    node = next(node for node in ray.nodes() if node["NodeID"] == own)
    alone = host.startswith("127.")
    return (
        Endpoint("the head of the Ray cluster", host.strip("[]"), int(port), _NODE_SECONDS if alone else _HEAD_SECONDS),
        Endpoint("this machine's Ray node", node["NodeManagerAddress"], node["NodeManagerPort"], _NODE_SECONDS),
    )


@contextmanager
def pulse_felt(lose: Callable[[str], None], note: Callable[[str], None]) -> Iterator[None]:
    """Watch the Ray that this process is connected to for the length of a block, see `feel`."""
    ended = threading.Event()
    arguments = (Pulse(ray_endpoints()), ended, lose, note)
    thread = threading.Thread(target=feel, args=arguments, name="pulse", daemon=True)
    thread.start()
    try:
        yield
    finally:
        ended.set()
        thread.join()


def feel(pulse: Pulse, ended: threading.Event, lose: Callable[[str], None], note: Callable[[str], None]) -> None:
    """Look every second until `ended` is set; `note` is told what falls silent, `lose` what was silent for too long."""
    while not ended.wait(_POLL_SECONDS):
        text, lost = pulse.look()
        if lost is not None:
            lose(f"{lost} no longer answers")
            return
        if text is not None:
            note(text)


class Pulse:
    """Says which endpoint has been silent for too long.

    Args:
        watched: what must answer.
    """

    def __init__(self, watched: tuple[Endpoint, ...]) -> None:
        self._watched = watched
        self._silent_since: dict[Endpoint, float] = {}

    def look(self) -> tuple[str | None, Endpoint | None]:
        """Try every endpoint: what to say of one that fell silent just now, and one that was silent for too long."""
        note = lost = None
        for endpoint in self._watched:
            state = endpoint.state()
            if state == "answers":
                self._silent_since.pop(endpoint, None)
                continue
            patience = endpoint.patience if state == "gone" else _FROZEN_SECONDS
            if endpoint not in self._silent_since:
                note = f"{endpoint} does not answer; waiting {patience:.0f} s for it"
            since = self._silent_since.setdefault(endpoint, time.monotonic())
            if time.monotonic() - since >= patience:
                lost = endpoint
        return note, lost
