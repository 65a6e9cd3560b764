"""A set of keys and fingerprints, small in memory and in a checkpoint."""

from __future__ import annotations

import base64
import binascii
import hashlib
import struct
from collections.abc import Iterable, Iterator

from lossearch.errors import UserError


class DigestSet:
    """Which SHA-256 digests an island has seen, by their first 64 bits.

    Among a million digests two share these bits with a probability of 3e-8; a candidate would then be taken for a
    duplicate.
    """

    def __init__(self, digests: Iterable[str] = ()) -> None:
        self._prefixes: set[int] = set()
        for digest in digests:
            self.add(digest)

    def __contains__(self, digest: object) -> bool:
        return isinstance(digest, str) and _prefix(digest) in self._prefixes

    def __len__(self) -> int:
        return len(self._prefixes)

    def __iter__(self) -> Iterator[int]:
        return iter(sorted(self._prefixes))

    def add(self, digest: str) -> None:
        """Remember a digest, in hex."""
        self._prefixes.add(_prefix(digest))

    def pack(self) -> str:
        """The set as text: base64 of the sorted prefixes, 11 characters each."""
        return base64.b64encode(struct.pack(f"<{len(self)}Q", *self)).decode("ascii")

    @classmethod
    def unpack(cls, text: str) -> DigestSet:
        """The set that `pack` wrote; raises `UserError` for any other text."""
        try:
            raw = base64.b64decode(text, validate=True)
            found = cls()
            found._prefixes.update(struct.unpack(f"<{len(raw) // 8}Q", raw))
        except (binascii.Error, ValueError, struct.error) as error:
            raise UserError("packed digests", f"{error}", "restore the checkpoint from a copy") from error
        return found


def _prefix(digest: str) -> int:
    try:
        return int(digest[:16], 16)
    except ValueError:  # a name rather than a digest
        return int(hashlib.sha256(digest.encode()).hexdigest()[:16], 16)
