"""Where islands leave their best for each other. In memory: lost with its process, and soon refilled."""

from __future__ import annotations

from lossearch.engine.writer.messages import Parcel


class Exchange:
    """A ring of islands: each takes the elites of the one before it, and everybody's fingerprints.

    Args:
        islands: how many.
    """

    def __init__(self, islands: int) -> None:
        self._islands = islands
        self._elites: dict[int, tuple[tuple[str, float], ...]] = {}
        self._taken: dict[int, tuple[tuple[str, float], ...]] = {}
        self._fingerprints: list[tuple[int, str]] = []
        self._known: set[str] = set()
        self._read: dict[int, int] = {}

    def swap(self, island: int, parcel: Parcel) -> Parcel:
        """Leave a parcel; take what is new. The same elites are handed to an island once."""
        self._elites[island] = parcel.elites
        for fingerprint in parcel.fingerprints:
            if fingerprint not in self._known:
                self._known.add(fingerprint)
                self._fingerprints.append((island, fingerprint))
        neighbour = (island - 1) % self._islands
        elites = self._elites.get(neighbour, ()) if neighbour != island else ()
        new = tuple(elite for elite in elites if elite not in self._taken.get(island, ()))
        self._taken[island] = elites
        start = self._read.get(island, 0)
        self._read[island] = len(self._fingerprints)
        others = tuple(fingerprint for source, fingerprint in self._fingerprints[start:] if source != island)
        return Parcel(new, others)

    def forget(self, island: int) -> None:
        """An island starts again from a checkpoint: it has taken nothing yet."""
        self._read.pop(island, None)
        self._taken.pop(island, None)
