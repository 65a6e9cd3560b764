"""Reading datasets from disk into arrays. Whatever is missing or damaged raises; nothing stands in for it."""

from __future__ import annotations

import gzip
import hashlib
import io
import zlib
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from lossearch.errors import UserError
from lossearch.reading import read_bytes
from lossearch.tasks.datasets.dataset import Dataset, LabelledImages

_PACKING = 4096
"""Bytes by which a packed file may be larger than what is in it."""


@dataclass(frozen=True)
class Arrays:
    """Images and labels of one part of a dataset.

    Attributes:
        images: `[sample, channel, height, width]`, as stored: uint8, or float32 in [0, 1]. See `images_at`.
        labels: `[sample]`, int64 in 0 … classes - 1.
        classes: class names, in label order.
        part: "train" (all that is not official test data) or "test" (the official test split).
        has_official_test: whether the dataset comes with a test split; where not, a task cuts its own.
    """

    images: np.ndarray
    labels: np.ndarray
    classes: tuple[str, ...]
    part: str
    has_official_test: bool

    def images_at(self, indices: np.ndarray) -> np.ndarray:
        """The images at these places, float32 in [0, 1]; only they are converted, as a task takes few of many."""
        chosen = self.images[indices]
        return chosen.astype(np.float32) / 255 if chosen.dtype == np.uint8 else chosen


def find_file(folder: Path, name: str) -> Path | None:
    """The file `name` or `name.gz` in `folder`, or None where there is neither."""
    return next((path for path in (folder / f"{name}.gz", folder / name) if path.is_file()), None)


def file_of(dataset: Dataset, folder: Path, name: str) -> tuple[Path, bytes]:
    """Where one of the dataset's files lies, and its content, uncompressed and verified.

    Raises:
        UserError: the file is missing or damaged.
    """
    path = find_file(folder, name)
    if path is None:
        raise missing(dataset, folder)
    return path, read_verified(path, dataset.files[name], dataset)


def read_verified(path: Path, sha256: str, dataset: Dataset) -> bytes:
    """Content of `path`, uncompressed, whose SHA-256 must be `sha256`.

    That is of what is unpacked, since whoever packs may do so in many ways. Before, sizes are looked at: that of the
    packed file, which cannot be larger but for a header, and the one that it announces. No more than that is unpacked.

    Raises:
        UserError: the file cannot be read or unpacked, or its content is not the expected one.
    """
    hint = _fetch_again(dataset)
    size = dataset.size_of(path.name)
    what = f"an undamaged file {path.name} of dataset {dataset.name!r}"
    content = read_bytes(path, what, hint, size + _PACKING)
    if path.suffix == ".gz":
        content = _unpacked(content, size, path, dataset)
    found = hashlib.sha256(content).hexdigest()
    if found != sha256:
        raise damaged(dataset, path, f"SHA-256 {found}, expected {sha256}")
    return content


def _unpacked(content: bytes, size: int, path: Path, dataset: Dataset) -> bytes:
    """What gzip packed, which must be `size` bytes: a few packed bytes may hold any number of zeros."""
    announced = int.from_bytes(content[-4:], "little")  # modulo 2^32, by the last field of the format (RFC 1952)
    if announced != size % 2**32:
        raise damaged(dataset, path, f"{announced} bytes are announced, where the dataset has {size}")
    try:
        with gzip.GzipFile(fileobj=io.BytesIO(content)) as file:
            unpacked = file.read(size + 1)
    except (OSError, EOFError, zlib.error) as error:
        raise damaged(dataset, path, f"{type(error).__name__}: {error}") from error
    if len(unpacked) > size:
        raise damaged(dataset, path, f"more than {size} bytes when unpacked")
    return unpacked


def parse_idx(content: bytes) -> np.ndarray:
    """The uint8 array in an idx file: bytes 0, 0, 8, the rank, the sizes as big-endian int32, then the data.

    Raises:
        ValueError: the header is not one of an idx file of bytes, or the data is of another length.
    """
    if len(content) < 4 or content[:3] != b"\0\0\x08":
        raise ValueError(f"no idx file of bytes: it begins with {content[:4]!r}")
    rank = content[3]
    header = 4 + 4 * rank
    shape = tuple(int(size) for size in np.frombuffer(content[4:header], dtype=">i4"))
    if len(shape) != rank or len(content) - header != int(np.prod(shape)):
        raise ValueError(f"the header announces shape {shape}, the file holds {len(content) - header} bytes")
    return np.frombuffer(content, dtype=np.uint8, offset=header).reshape(shape)


def read_idx_part(dataset: LabelledImages, folder: Path, part: str) -> tuple[np.ndarray, np.ndarray]:
    """Images (uint8) and labels of one part of an idx dataset in `folder`. The other part's files are not touched.

    Raises:
        UserError: a file is missing or damaged.
    """
    prefix = {"train": "train", "test": "t10k"}[part]
    arrays: dict[str, np.ndarray] = {}
    for name in dataset.files:
        if name.startswith(prefix):
            arrays["images" if "images" in name else "labels"] = parse_idx(file_of(dataset, folder, name)[1])
    images = arrays["images"].reshape(-1, *dataset.image_shape)
    if dataset.per_class:
        return images, np.repeat(np.arange(len(dataset.classes)), dataset.per_class)
    return images, arrays["labels"].astype(np.int64)


def missing(dataset: Dataset, folder: Path) -> UserError:
    """The error for a dataset that is not on disk."""
    return UserError(
        f"dataset {dataset.name!r} in {folder}",
        "no such files",
        f"fetch it with: lossearch data fetch {dataset.name}",
    )


def damaged(dataset: Dataset, path: Path, found: str) -> UserError:
    """The error for a file of a dataset that does not hold what it should."""
    return UserError(
        f"an undamaged file {path.name} of dataset {dataset.name!r}",
        f"{path}: {found}",
        _fetch_again(dataset),
    )


def _fetch_again(dataset: Dataset) -> str:
    return f"fetch it again with: lossearch data fetch {dataset.name}"
