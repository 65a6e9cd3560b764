"""Whether the Ray that a search runs on still answers: its control service, and the node of this process."""

from __future__ import annotations

import socket
import time
from dataclasses import dataclass

import ray

_CONNECT_SECONDS = 2.0
_NODE_SECONDS = 3.0  # a node that died never comes back, and Ray ends this process a few seconds later, from C++
_HEAD_SECONDS = 20.0  # in which the head of a cluster may be started again


@dataclass(frozen=True)
class Endpoint:
    """A process of Ray's that listens.

    Attributes:
        name: what it is, in words.
        host, port: where it listens.
        patience: how many seconds it may be silent.
    """

    name: str
    host: str
    port: int
    patience: float

    def __str__(self) -> str:
        return f"{self.name} at {self.host}:{self.port}"

    def answers(self) -> bool:
        """Whether a connection is accepted."""
        try:
            socket.create_connection((self.host, self.port), timeout=_CONNECT_SECONDS).close()
        except OSError:
            return False
        return True


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


class Pulse:
    """Says which endpoint has been silent for too long.

    Args:
        watched: what must answer.
    """

    def __init__(self, watched: tuple[Endpoint, ...]) -> None:
        self._watched = watched
        self._silent_since: dict[Endpoint, float] = {}

    def look(self) -> tuple[Endpoint | None, Endpoint | None]:
        """Try every endpoint: one that fell silent just now, and one that has been silent for too long."""
        fallen = lost = None
        for endpoint in self._watched:
            if endpoint.answers():
                self._silent_since.pop(endpoint, None)
                continue
            if endpoint not in self._silent_since:
                fallen = endpoint
            since = self._silent_since.setdefault(endpoint, time.monotonic())
            if time.monotonic() - since >= endpoint.patience:
                lost = endpoint
        return fallen, lost
