"""A set of keys and fingerprints, small in memory and in a checkpoint."""

from __future__ import annotations

import base64
import binascii
import hashlib
import sys
from array import array
from bisect import bisect_left
from collections.abc import Iterable, Iterator

from lossearch.errors import UserError

_MOST_UNSORTED = 4096


class DigestSet:
    """Which SHA-256 digests an island has seen, by their first 64 bits.

    Among a million digests two share these bits with a probability of 3e-8; a candidate would then be taken for a
    duplicate. Eight bytes each in a sorted array, where a set takes a hundred: the few newest wait in a set until it
    pays to sort them in.
    """

    def __init__(self, digests: Iterable[str] = ()) -> None:
        self._sorted = array("Q")
        self._newest: set[int] = set()
        for digest in digests:
            self.add(digest)

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, str) and self._holds(_prefix(digest))

    def _holds(self, prefix: int) -> bool:
        if prefix in self._newest:
            return True
        place = bisect_left(self._sorted, prefix)
        return place < len(self._sorted) and self._sorted[place] == prefix

    def __len__(self) -> int:
        return len(self._sorted) + len(self._newest)

    def __iter__(self) -> Iterator[int]:
        return iter(sorted((*self._sorted, *self._newest)))

    def add(self, digest: str) -> None:
        """Remember a digest, in hex."""
        prefix = _prefix(digest)
        if not self._holds(prefix):
            self._newest.add(prefix)
            if len(self._newest) >= _MOST_UNSORTED:
                self._sort()

    def _sort(self) -> None:
        self._sorted = array("Q", iter(self))
        self._newest = set()

    def pack(self) -> str:
        """The set as text: base64 of the sorted prefixes, 11 characters each."""
        self._sort()
        return base64.b64encode(_little_endian(self._sorted).tobytes()).decode("ascii")

    @classmethod
    def unpack(cls, text: str) -> DigestSet:
        """The set that `pack` wrote; raises `UserError` for any other text."""
        try:
            raw = base64.b64decode(text, validate=True)
            prefixes = array("Q", raw)
        except (binascii.Error, ValueError, TypeError) as error:
            raise UserError("packed digests", f"{error}", "restore the checkpoint from a copy") from error
        found = cls()
        found._sorted = array("Q", sorted(set(_little_endian(prefixes))))
        return found


def _little_endian(numbers: array[int]) -> array[int]:
    """The numbers from this machine's order of bytes to the file's, or back."""
    if sys.byteorder == "little":
        return numbers
    swapped = array("Q", numbers)
    swapped.byteswap()
    return swapped


def _prefix(digest: str) -> int:
    try:
        return int(digest[:16], 16)
    except ValueError:  # a name rather than a digest
        return int(hashlib.sha256(digest.encode()).hexdigest()[:16], 16)
