"""Made-up emoji: pictures whose colours follow from the words of their names, in a package as npm serves it."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import json
import tarfile
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lossearch.tasks.datasets import conversions, registry
from lossearch.tasks.datasets.dataset import NamedImages

SIDE = 8
SHEET = "img/google/sheets/32.png"
COLOURS = {"red": (255, 0, 0), "green": (0, 200, 0), "blue": (0, 0, 255), "grey": (90, 90, 90), "yellow": (240, 240, 0)}
PLACES = tuple(f"{row} {column}" for row in ("top", "middle", "bottom") for column in ("left", "centre", "right"))
NAMES = tuple(f"{one} over {two}, {place}" for one in COLOURS for two in COLOURS if one != two for place in PLACES)


def pictures(names: Sequence[str] = NAMES) -> np.ndarray:
    """A square of the one colour at a place on a square of the other, a margin transparent: `[name, side, side, 4]`."""
    draw = np.random.default_rng(0)
    found = np.zeros((len(names), SIDE, SIDE, 4), dtype=np.uint8)
    for image, name in zip(found, names, strict=True):
        one, _, two, row, column = name.replace(",", "").split()
        image[1:-1, 1:-1] = (*COLOURS[two], 255)
        top, left = 2 * ("top", "middle", "bottom").index(row), 2 * ("left", "centre", "right").index(column)
        image[1 + top : 3 + top, 1 + left : 3 + left] = (*COLOURS[one], 255)
    found[..., :3] -= draw.integers(0, 40, found[..., :3].shape, dtype=np.uint8) * (found[..., :3] > 40)
    return found


def package_files(images: np.ndarray, names: Sequence[str], categories: Sequence[str]) -> dict[str, bytes]:
    """A sheet, and a table of what lies where."""
    columns = int(np.ceil(np.sqrt(len(images))))
    sheet = np.full((columns * (SIDE + 2),) * 2 + (4,), 7, dtype=np.uint8)
    rows = []
    for place, (image, name, category) in enumerate(zip(images, names, categories, strict=True)):
        x, y = divmod(place, columns)
        sheet[y * (SIDE + 2) + 1 :, x * (SIDE + 2) + 1 :][:SIDE, :SIDE] = image
        rows.append({"name": name, "category": category, "sheet_x": x, "sheet_y": y})
    stream = io.BytesIO()
    Image.fromarray(sheet).save(stream, "PNG")
    return {SHEET: stream.getvalue(), "emoji.json": json.dumps(rows).encode()}


def archive(path: Path, files: dict[str, bytes]) -> Path:
    """A packed tar file with the files, and a larger picture that nobody asked for."""
    with tarfile.open(path, "w:gz") as packed:
        for name, content in {"img/google/sheets-256/32.png": b"no picture", **files}.items():
            member = tarfile.TarInfo(f"package/{name}")
            member.size = len(content)
            packed.addfile(member, io.BytesIO(content))
    return path


def register(monkeypatch: pytest.MonkeyPatch, made: dict[str, bytes], count: int, package: Path | None = None) -> None:
    """Have the registry know these as the emoji, out of this package where one is given."""
    known = registry.DATASETS["emoji"]
    assert isinstance(known, NamedImages)
    assert known.source is not None
    source = dataclasses.replace(
        known.source,
        conversion=conversions.emoji(SHEET, count, SIDE),
        sha256=hashlib.sha256(package.read_bytes()).hexdigest() if package else "",
    )
    changed = dataclasses.replace(
        known,
        image_shape=(3, SIDE, SIDE),
        train_samples=count,
        files={name: hashlib.sha256(content).hexdigest() for name, content in made.items()},
        sizes={name: len(content) for name, content in made.items()},
        source=source,
    )
    monkeypatch.setitem(registry.DATASETS, "emoji", changed)


def write(folder: Path, made: dict[str, bytes]) -> None:
    """Put the files where `fetch` puts them."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, content in made.items():
        (folder / name).write_bytes(content)
