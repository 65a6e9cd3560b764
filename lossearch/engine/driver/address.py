"""The address of a Ray cluster, checked before anything is written or Ray is imported."""

from __future__ import annotations

import socket
import subprocess
import sys

from lossearch.errors import UserError

_SECONDS = 5.0
_JOIN_SECONDS = 30.0  # an import of Ray and a handshake, on a machine that is busy
HINT = "start one with `ray start --head`, or leave --address out to search on this machine alone"

# Tells in one line of standard output why the cluster cannot be joined.
_JOIN = """
import logging, sys, ray
try:
    ray.init(address=sys.argv[1], log_to_driver=False, logging_level=logging.ERROR)
except (ConnectionError, ValueError, RuntimeError, ray.exceptions.RayError) as error:
    print(" ".join(f"{error}".split()) or type(error).__name__)
    sys.stdout.flush()
    sys.exit(1)
"""


def check_address(address: str | None) -> None:
    """See that a cluster at `address` can be joined from this machine.

    Another process tries: Ray itself would go on for many minutes, in which nothing ends it.

    Raises:
        UserError: the address is malformed, nothing listens at it, or what listens lets nobody join in time.
    """
    if address is None:
        return
    if address != "auto":
        _check_socket(address)
    command = [sys.executable, "-c", _JOIN, address]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=_JOIN_SECONDS, check=False)
    except subprocess.TimeoutExpired as error:
        found = f"{address}: no way in within {_JOIN_SECONDS:.0f} s"
        hint = "is it the address of a Ray head (port 6379 by default), and is this machine one of its cluster's nodes?"
        raise UserError("a Ray cluster at that address", found, hint) from error
    if done.returncode != 0:
        reason = done.stdout.strip() or f"Ray ended with exit code {done.returncode}"
        raise UserError("a Ray cluster at that address", f"{address}: {reason}", HINT)


def _check_socket(address: str) -> None:
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        raise UserError("the address of a Ray cluster, as HOST:PORT or auto", repr(address), HINT)
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError("a Ray cluster at that address", f"{address}: {error}", HINT) from error
