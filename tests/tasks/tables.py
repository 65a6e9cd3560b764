"""Made-up tables and series in the place of real ones, as the packages carry them."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import tarfile
from collections.abc import Mapping
from pathlib import Path

import pytest

from lossearch.tasks.datasets import registry
from lossearch.tasks.datasets.dataset import Rows


def register(monkeypatch: pytest.MonkeyPatch, name: str, files: Mapping[str, bytes], rows: int) -> Rows:
    """Have the registry know a data set by these files."""
    known = registry.DATASETS[name]
    assert isinstance(known, Rows)
    changed = dataclasses.replace(
        known,
        files={file: hashlib.sha256(content).hexdigest() for file, content in files.items()},
        sizes={file: len(content) for file, content in files.items()},
        train_samples=rows,
    )
    monkeypatch.setitem(registry.DATASETS, name, changed)
    return changed


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put the files where `fetch` puts them."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def source_archive(path: Path, dataset: Rows, files: Mapping[str, bytes]) -> Path:
    """A source archive that carries the files, in an archive inside if the data set's source names one.

    Its setup script, and a file that would lie outside the folder, are there to be left alone.
    """
    assert dataset.source is not None
    source, root = dataset.source, f"{dataset.source.package}-{dataset.source.version}"
    carried = {f"{source.folder}/{name}": content for name, content in files.items()}
    if source.inner:
        carried = {source.inner: _packed(carried)}
    whole = {"../../outside.py": b"raise SystemExit", f"{root}/setup.py": b"raise SystemExit"}
    path.write_bytes(_packed(whole | {f"{root}/{name}": content for name, content in carried.items()}))
    return path


def _packed(files: Mapping[str, bytes]) -> bytes:
    stream = io.BytesIO()
    with tarfile.open(fileobj=stream, mode="w:gz") as archive:
        for name, content in files.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return stream.getvalue()
