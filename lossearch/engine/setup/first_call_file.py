"""What a user's function gave its loss at the first call, kept in the run directory: resuming measures there again."""

from __future__ import annotations

from lossearch.archive.run_directory import RunDirectory
from lossearch.files import storage_errors, write_atomically
from lossearch.tasks.user.first_calls import FirstCalls

FIRST_CALL = "first_call.bin"
"""The file of a run directory that holds it."""


def read_first_call(run: RunDirectory) -> FirstCalls | None:
    """The kept call, or None; raises `UserError` where the file is damaged."""
    path = run.path / FIRST_CALL
    with storage_errors(path):
        return FirstCalls.loads(path.read_bytes()) if path.exists() else None


def forget_first_call(run: RunDirectory) -> None:
    """Delete the kept call, if there is one."""
    path = run.path / FIRST_CALL
    with storage_errors(path):
        path.unlink(missing_ok=True)


def keep_first_call(run: RunDirectory, call: FirstCalls | None) -> bytes | None:
    """Write the call where none is kept yet; returns it as islands are told it. A bundled task has none."""
    if call is None:
        return None
    path, content = run.path / FIRST_CALL, call.dumps()
    if not path.exists():
        write_atomically(path, content)
    return content
