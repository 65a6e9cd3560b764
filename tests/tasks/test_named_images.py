"""Emoji with their names: cut out of a sheet, put on white, verified, read."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from tasks import named_pictures

from lossearch.errors import UserError
from lossearch.tasks.datasets import data, registry
from lossearch.tasks.datasets.conversions import emoji

NAMES = named_pictures.NAMES[:5]
IMAGES = named_pictures.pictures(NAMES)
FILES = named_pictures.package_files(IMAGES, NAMES, ["Shapes"] * 5)
MAKE = emoji(named_pictures.SHEET, 5, named_pictures.SIDE).make


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder."""
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path / "data"))
    return tmp_path / "data"


def test_a_package_gives_pictures_on_white_with_their_names(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    images = IMAGES.copy()
    images[0, 0, 0] = (200, 100, 0, 51)  # a fifth of it is seen
    files = named_pictures.package_files(images, NAMES, ["Shapes"] * 5)
    package = named_pictures.archive(tmp_path / "emoji.tgz", files)
    named_pictures.register(monkeypatch, dict(MAKE(files.items())), 5, package)
    assert data.fetch("emoji", package) == folder / "emoji"
    found = data.load_named_images("emoji")
    assert list(found.names) == list(NAMES)
    assert list(found.categories) == ["Shapes"] * 5
    assert found.images[0, :, 0, 0].tolist() == [244, 224, 204]
    assert (found.images[0, :, 0, 1:] == 255).all()
    np.testing.assert_array_equal(found.images[:, :, 1:-1, 1:-1], IMAGES[:, 1:-1, 1:-1, :3].transpose(0, 3, 1, 2))


def test_flags_and_pictures_that_look_the_same_are_left_out() -> None:
    images = np.concatenate([IMAGES, IMAGES[:1], 255 - IMAGES[:1]])
    names = [*NAMES, "the same again", "somewhere"]
    made = MAKE(named_pictures.package_files(images, names, ["Shapes"] * 6 + ["Flags"]).items())
    assert made["names.csv"].decode().splitlines()[1:] == [f'"{name}",Shapes' for name in NAMES]


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"emoji.json": None}, "1 files where there should be 2"),
        ({"emoji.json": b"[{"}, "JSONDecodeError|Expecting"),
        ({named_pictures.SHEET: b"no picture"}, "32.png"),
        (
            named_pictures.package_files(IMAGES[:4], NAMES[:4], ["Shapes"] * 4),
            "4 different emoji where there should be 5",
        ),
    ],
)
def test_packages_that_hold_something_else_are_refused(changes: dict[str, bytes | None], told: str) -> None:
    files = {name: content for name, content in {**FILES, **changes}.items() if content is not None}
    with pytest.raises(ValueError, match=told):
        MAKE(files.items())


@pytest.mark.parametrize(
    ("name", "content", "told"),
    [
        ("names.csv", b"name,category\na,b\n", "1 names"),
        ("names.csv", b"name\na\n", "KeyError"),
        ("names.csv", b"", "ValueError"),
        ("names.csv", b"name,category\na\n", "ValueError"),
        ("train-images-idx4-ubyte", b"\0\0\x08\x01\0\0\0\x01\x07", r"images \(1,\)"),
        ("train-images-idx4-ubyte", b"GIF8", "no idx file"),
    ],
)
def test_files_that_hold_something_else_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, content: bytes, told: str
) -> None:
    made = {**MAKE(FILES.items()), name: content}
    named_pictures.register(monkeypatch, made, 5)
    named_pictures.write(folder / "emoji", made)
    with pytest.raises(UserError, match=told):
        data.load_named_images("emoji")


def test_missing_emoji_name_the_command_and_other_kinds_are_told_apart(folder: Path) -> None:
    with pytest.raises(UserError, match="lossearch data fetch emoji"):
        data.load_named_images("emoji")
    with pytest.raises(UserError, match="images with names"):
        data.load_named_images("digits")


@pytest.mark.network
def test_emoji_can_be_fetched_and_read(folder: Path) -> None:
    assert data.fetch("emoji") == folder / "emoji"
    found = data.load_named_images("emoji")
    assert len(found.names) == registry.dataset("emoji").train_samples
    assert float(found.images.mean()) == pytest.approx(191, abs=15)
