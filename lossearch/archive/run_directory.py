"""The directory of one run: what lies where in it, and that only one process searches in it at a time."""

from __future__ import annotations

import csv
import fcntl
import io
import json
import os
import platform
import shutil
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from lossearch.archive.store import Archive, Ranked, Retention
from lossearch.errors import UserError
from lossearch.files import StorageError, storage_errors, write_atomically
from lossearch.plain_text import csv_cell, visible
from lossearch.reading import read_text, usable_path

_PACKAGES = ("lossearch", "torch", "ray", "numpy", "scipy", "scikit-learn")
_HALL_OF_FAME_COLUMNS = ("complexity", "metric", "seeds", "budget", "text", "key", "before")
# before: the rank before the final race, empty for what did not race


class RunDirectory:
    """Paths and files of a run. Nothing inside refers to where the directory is, so it can be moved as a
    whole.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        self.config = self.path / "config.toml"
        self.environment = self.path / "env.json"
        self.archive = self.path / "archive.sqlite"
        self.hall_of_fame = self.path / "hall_of_fame.csv"
        self.checkpoints = self.path / "checkpoints"
        self.report = self.path / "report.html"
        self.comparison = self.path / "comparison" / "comparison.json"
        self.log = self.path / "log.txt"

    @classmethod
    def create(
        cls, path: str | Path, config_text: str, prepare: Callable[[RunDirectory], None] = lambda draft: None
    ) -> RunDirectory:
        """A new run directory with its configuration; it appears complete or not at all.

        Args:
            path: where.
            config_text: the configuration as it was given.
            prepare: writes more files into the directory before it appears.

        Raises:
            UserError: something is there already (an empty directory may be), or it cannot be written.
        """
        run = cls(usable_path(path, "a path for the run directory"))
        _verify_free(run.path)
        with _nothing_begun(), storage_errors(run.path):
            run.path.parent.mkdir(parents=True, exist_ok=True)
            draft = cls(tempfile.mkdtemp(prefix=f".{run.path.name}.", dir=run.path.parent))
            try:
                draft.path.chmod(0o755)  # mkdtemp's 0o700 would shut out colleagues for good
                draft.checkpoints.mkdir()
                draft.environment.write_text(json.dumps(describe_environment(), indent=2) + "\n", encoding="utf-8")
                draft.config.write_text(config_text, encoding="utf-8", newline="")
                prepare(draft)
                os.rename(draft.path, run.path)
            except BaseException:
                shutil.rmtree(draft.path, ignore_errors=True)
                raise
        return run

    @classmethod
    def open(cls, path: str | Path) -> RunDirectory:
        """An existing run directory. Raises UserError if `path` is none."""
        run = cls(path)
        if not os.path.isfile(run.config):  # false, too, for what no path can be
            found = f"no file {run.config}" if os.path.isdir(run.path) else f"no directory {run.path}"
            raise UserError(
                required="the directory of a lossearch run",
                found=found,
                hint="give the directory that `lossearch search` wrote with --out",
            )
        return run

    def config_text(self) -> str:
        """The configuration as it stands in the directory now; raises UserError if it cannot be read."""
        return read_text(self.config, "a configuration", "restore config.toml from a copy")

    def create_archive(
        self,
        metric: str,
        higher_is_better: bool,
        keep_rejected: Retention = "key",
        directions: Mapping[str, str] | None = None,
        robustness: float = 0.0,
    ) -> Archive:
        """The run's archive, new. Raises UserError if it exists."""
        return Archive.create(self.archive, metric, higher_is_better, keep_rejected, directions, robustness)

    def open_archive(self, read_only: bool = False) -> Archive:
        """The run's archive. Raises UserError if it is missing or damaged."""
        return Archive.open(self.archive, read_only)

    def write_hall_of_fame(self, rows: Sequence[Ranked]) -> None:
        """Write hall_of_fame.csv anew, in one piece: a reader sees the old one or the new one."""
        table = io.StringIO()
        writer = csv.writer(table, lineterminator="\n")
        writer.writerow(_HALL_OF_FAME_COLUMNS)
        for row in rows:
            candidate = row.candidate
            metric = "" if row.metric is None else repr(row.metric)
            text = csv_cell(visible(candidate.text or ""))
            before = "" if row.standing is None else row.standing.before
            writer.writerow((candidate.complexity, metric, row.seeds, row.budget, text, candidate.key, before))
        write_atomically(self.hall_of_fame, table.getvalue())

    @contextmanager
    def lock(self) -> Iterator[None]:
        """Hold the run directory for one search. Raises UserError if another process holds it.

        The lock is the operating system's and ends with the process, however it ends; the file `lock` may
        stay.
        """
        with storage_errors(self.path / "lock"):
            descriptor = os.open(self.path / "lock", os.O_RDWR | os.O_CREAT, 0o644)
        try:
            try:
                fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError as error:
                holder = os.read(descriptor, 32).decode("ascii", "replace").strip() or "unknown"
                raise UserError(
                    required="a run directory in which no other search runs",
                    found=f"process {holder} searches in {self.path}",
                    hint="wait for it or stop it, or choose another directory",
                ) from error
            os.ftruncate(descriptor, 0)
            os.write(descriptor, f"{os.getpid()}\n".encode())
            yield
        finally:
            os.close(descriptor)


def _verify_free(path: Path) -> None:
    if path.is_dir() and not path.is_symlink():
        if any(path.iterdir()):
            raise UserError(
                required="a new or empty directory for the run",
                found=f"{path} holds files",
                hint=f"continue that run with `lossearch resume {path}`, or choose another directory",
            )
    elif path.exists() or path.is_symlink():
        raise UserError(
            required="a new or empty directory for the run",
            found=f"{path} is no directory",
            hint="choose another directory",
        )


@contextmanager
def _nothing_begun() -> Iterator[None]:
    """Say of what failed before there was a run that there is nothing to resume."""
    try:
        yield
    except UserError as error:
        mended = error.mend if isinstance(error, StorageError) else error.hint
        raise UserError(error.required, error.found, f"{mended}; nothing was begun: then search again") from error


def describe_environment() -> dict[str, Any]:
    """Versions (null where not installed), platform and CPU count. Neither user nor host is named."""
    return {
        "python": platform.python_version(),
        **{package: _version(package) for package in _PACKAGES},
        "system": platform.system(),
        "machine": platform.machine(),
        "cpu_count": os.cpu_count(),
    }


def _version(package: str) -> str | None:
    try:
        return metadata.version(package)
    except metadata.PackageNotFoundError:
        return None
