"""The address of a Ray cluster, checked before anything is written or Ray is imported."""

from __future__ import annotations

import socket

from lossearch.errors import UserError

_SECONDS = 5.0
HINT = "start one with `ray start --head`, or leave --address out to search on this machine alone"


def check_address(address: str | None) -> None:
    """See that something answers there: Ray itself would go on trying for many minutes.

    Raises:
        UserError: the address is malformed, or nothing listens at it.
    """
    if address is None or address == "auto":
        return
    host, _, port = address.rpartition(":")
    if not (host and port.isdecimal()):
        raise UserError("the address of a Ray cluster, as HOST:PORT or auto", repr(address), HINT)
    try:
        socket.create_connection((host, int(port)), timeout=_SECONDS).close()
    except (OSError, OverflowError) as error:
        raise UserError("a Ray cluster at that address", f"{address}: {error}", HINT) from error
