"""How islands talk to the archive's writer, a Ray actor."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, TypeVar

import ray
from ray.exceptions import RayTaskError

from lossearch.engine.writer.messages import Batch, Claim, GenerationReport, Parcel
from lossearch.errors import UserError

Result = TypeVar("Result")

_MOST_IN_FLIGHT = 8  # batches on their way from one island


class RemoteScribe:
    """`Scribe` over a Ray actor: batches travel asynchronously, a bounded number at a time.

    Args:
        actor: handle of an `ArchiveWriter` actor.
    """

    def __init__(self, actor: Any) -> None:
        self._actor = actor
        self._in_flight: list[Any] = []

    def begin(self, island: int, generation: int) -> frozenset[str]:
        """See `ArchiveWriter.begin`."""
        self._settle(0)
        known: frozenset[str] = self._ask(self._actor.begin.remote(island, generation))
        return known

    def claim(self, island: int, proposal: str) -> Claim:
        """See `ArchiveWriter.claim`."""
        claim: Claim = self._ask(self._actor.claim.remote(island, proposal))
        return claim

    def starting(self, island: int, proposal: str) -> None:
        """Send word; messages of one island arrive in order."""
        self._in_flight.append(self._actor.starting.remote(island, proposal))

    def submit(self, island: int, batch: Batch) -> None:
        """Send a batch. Failures of earlier ones are raised here."""
        self._settle(_MOST_IN_FLIGHT - 1)
        self._in_flight.append(self._actor.submit.remote(island, batch))

    def report(self, island: int, report: GenerationReport) -> int:
        """Send a report, once all batches of the generation are archived: the state saved next relies on them."""
        self._settle(0)
        mark: int = self._ask(self._actor.report.remote(island, report))
        return mark

    def exchange(self, island: int, parcel: Parcel) -> Parcel:
        """See `ArchiveWriter.exchange`."""
        received: Parcel = self._ask(self._actor.exchange.remote(island, parcel))
        return received

    def fail(self, island: int, error: Exception) -> None:
        """See `ArchiveWriter.fail`."""
        self._ask(self._actor.fail.remote(island, error))

    def _ask(self, reference: Any) -> Any:
        return unwrapped(lambda: ray.get(reference))

    def _settle(self, left: int) -> None:
        """Wait until at most `left` messages are on their way, and raise what went wrong with the others."""
        if not self._in_flight:
            return
        arrived = set(ray.wait(self._in_flight, num_returns=len(self._in_flight), timeout=0)[0])
        count = max(0, len(self._in_flight) - left)
        while count < len(self._in_flight) and self._in_flight[count] in arrived:
            count += 1
        settled, self._in_flight = self._in_flight[:count], self._in_flight[count:]
        self._ask(settled)


def unwrapped(call: Callable[[], Result]) -> Result:
    """The result of a call; a UserError raised in another process comes out as itself."""
    try:
        return call()
    except RayTaskError as error:
        if isinstance(error.cause, UserError):
            raise error.cause from None
        raise
