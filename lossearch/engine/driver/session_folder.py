"""The temporary folder of a local Ray: held by a lock while it is in use, deleted afterwards, even after a kill."""

from __future__ import annotations

import contextlib
import fcntl
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

_PREFIX = "lossearch-"
_LOCK = "lock"
_LONGEST_PARENT = 20  # the folder holds sockets, whose paths are limited to 107 characters


@contextlib.contextmanager
def session_folder() -> Iterator[Path]:
    """A new folder for the length of a block; those that killed searches left behind are deleted first."""
    usual = tempfile.gettempdir()
    parent = Path(usual if len(usual) <= _LONGEST_PARENT else "/tmp")
    remove_leftovers(parent)
    folder = Path(tempfile.mkdtemp(prefix=_PREFIX, dir=parent))
    try:
        with _held(folder):
            yield folder
    finally:
        shutil.rmtree(folder, ignore_errors=True)


def remove_leftovers(parent: Path) -> None:
    """Delete the folders whose search no longer runs.

    That is certain only of a folder whose lock can be taken, and that was made by this user in this system and among
    the processes that this one can see. A container, or another host that shares the directory, may hold locks that
    are not seen from here: its folders are left to it.
    """
    for folder in parent.glob(f"{_PREFIX}*"):
        with contextlib.suppress(OSError):  # another user's, or somebody else deletes it just now
            if not folder.is_symlink() and folder.stat().st_uid == os.getuid():
                _remove_if_left(folder)


def _remove_if_left(folder: Path) -> None:
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_NOFOLLOW)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        if os.pread(descriptor, 4096, 0) == _whereabouts():
            shutil.rmtree(folder, ignore_errors=True)
    finally:
        os.close(descriptor)


@contextlib.contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold the folder's lock. The file says where it was taken only once it is."""
    descriptor = os.open(folder / _LOCK, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o600)
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX)
        os.write(descriptor, _whereabouts())
        yield
    finally:
        os.close(descriptor)


def _whereabouts() -> bytes:
    """What tells apart systems and process namespaces: locks and processes of another one are not seen from here."""
    boot = Path("/proc/sys/kernel/random/boot_id")
    namespace = Path("/proc/self/ns/pid")
    facts = {
        "host": platform.node(),
        "boot": boot.read_text().strip() if boot.exists() else "",
        "processes": os.readlink(namespace) if namespace.is_symlink() else "",
    }
    return json.dumps(facts).encode()
