"""Files that appear whole or not at all, and what a full disk or a missing permission means to a user."""

from __future__ import annotations

import errno
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from lossearch.errors import UserError

RESUME = "`lossearch resume`"
"""How a search goes on once its disk can be written again."""

_MENDS = {
    errno.ENOSPC: "free some space",
    errno.EDQUOT: "free some of your disk quota",
    errno.EFBIG: "raise the limit on the size of files",
    errno.EIO: "check the disk",
}
"""By error: what to do before going on."""

_ELSEWHERE = {
    errno.EACCES: "check its permissions, or choose another directory",
    errno.EPERM: "check its permissions, or choose another directory",
    errno.EROFS: "choose a directory on a disk that can be written",
    errno.ENOENT: "check the path; was the directory removed?",
    errno.EEXIST: "choose a path all of whose parents are directories",
    errno.ENOTDIR: "choose a path all of whose parents are directories",
    errno.ENOTEMPTY: "another process created it just now: choose another directory",
    errno.ENAMETOOLONG: "choose a shorter name",
    errno.EISDIR: "it is a directory: choose the name of a file in it",
    errno.ELOOP: "its symbolic links lead in a circle: choose another place",
}
"""By error: what to do where the place itself is wrong."""


class StorageError(UserError):
    """A place that could not be written. `mend` is what to do about it; `hint` also says how to go on afterwards."""

    def __init__(self, required: str, found: str, hint: str, mend: str) -> None:
        super().__init__(required, found, hint)
        self.mend = mend

    def __reduce__(self) -> tuple[type[StorageError], tuple[str, str, str, str]]:
        return type(self), (self.required, self.found, self.hint, self.mend)


@contextmanager
def storage_errors(path: Path, then: str = RESUME) -> Iterator[None]:
    """Turn a full disk and missing permissions into `StorageError`s; `then` says how to go on once it is mended."""
    try:
        yield
    except OSError as error:
        if error.errno in _MENDS:
            mend = _MENDS[error.errno]
            hint = f"{mend}, then {then}"
        elif error.errno in _ELSEWHERE:
            mend = hint = _ELSEWHERE[error.errno]
        else:
            raise
        raise StorageError("a directory that can be written", f"{error.strerror} ({path})", hint, mend) from error


def write_atomically(path: Path, content: str | bytes, then: str = RESUME) -> None:
    """Replace a file's content in one piece, through a file beside it that is on disk before it takes its place.

    Raises:
        StorageError: the disk is full, or the place cannot be written; `then` says how to go on.
    """
    with storage_errors(path, then):
        descriptor, draft = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
        try:
            with os.fdopen(descriptor, "wb") as file:
                file.write(content.encode() if isinstance(content, str) else content)
                file.flush()
                os.fsync(file.fileno())
            os.chmod(draft, 0o644)
            os.replace(draft, path)
        except BaseException:
            Path(draft).unlink(missing_ok=True)
            raise
