"""A user's own labels or masks as arrays: from `.npy` and `.npz` files and folders of mask images."""

from __future__ import annotations

import os
import warnings
import zipfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt

from lossearch.errors import UserError

Array = npt.NDArray[Any]

LARGEST_ARRAY = 2_000_000_000
"""Bytes of an array that is read."""

MOST_MASKS = 1000
"""Masks of a folder that are looked at, evenly spread over their names."""

IMAGES = (".png", ".bmp", ".tif", ".tiff", ".gif", ".pgm")
_KEYS = ("labels", "label", "y", "y_train", "targets", "target", "masks", "mask")
_HINT = "give labels[sample] or masks[sample, height, width] in .npy or .npz, or a folder of mask images"


def read_labels(path: str | Path) -> Array:
    """The numbers in a file or folder; those of masks in one row, as they may differ in size.

    Nothing is unpickled.

    Raises:
        UserError: It is missing, too large, or holds something else.
    """
    place = Path(path)
    if place.is_dir():
        return _from_folder(place)
    if os.path.exists(place) and not os.path.isfile(place):
        raise UserError("a file of labels", f"no regular file: {place}", _HINT)  # a pipe may never end
    try:
        if place.suffix == ".npz":
            return _from_archive(place)
        if place.suffix == ".npy":
            return _array(np.load(place, mmap_mode="r", allow_pickle=False), place)
    except (OSError, ValueError, EOFError, zipfile.BadZipFile, MemoryError) as error:
        raise UserError("a file of labels", f"{error} ({place})"[:300], _HINT) from None
    raise UserError("labels as .npy, .npz, or a folder of masks", str(place), _HINT)


def _from_archive(path: Path) -> Array:
    with zipfile.ZipFile(path) as members:
        sizes = {Path(member.filename).stem: member.file_size for member in members.infolist()}
    key = next((key for key in _KEYS if key in sizes), None)
    if len(sizes) == 1:
        (key,) = sizes
    if key is None:
        names = ", ".join(sizes)[:200]
        raise UserError(f"an array called {', '.join(_KEYS)}", f"{names} in {path}", "save the labels alone as .npy")
    if sizes[key] > LARGEST_ARRAY:
        raise UserError(
            f"an array of at most {LARGEST_ARRAY} bytes", f"{sizes[key]}: {key} in {path}", "save a part of it"
        )
    with np.load(path, allow_pickle=False) as arrays:
        return _array(arrays[key], path)


def _array(found: Array, path: Path) -> Array:
    if found.nbytes > LARGEST_ARRAY:
        raise UserError(f"an array of at most {LARGEST_ARRAY} bytes", f"{found.nbytes}: {path}", "save a part of it")
    if found.dtype.kind not in "biuf" or not found.size:
        raise UserError("labels as numbers", f"{found.size} values of type {found.dtype} ({path})", _HINT)
    return found


def _from_folder(folder: Path) -> Array:
    files = sorted(path for path in folder.iterdir() if path.suffix.lower() in IMAGES)
    if not files:
        others = sorted({path.suffix for path in folder.iterdir()})
        found = f"files of type {', '.join(others) or 'none'} in {folder}"[:200]
        raise UserError(
            f"a folder of masks ({', '.join(IMAGES)})", found, "masks as JPEG have other labels at their edges"
        )
    chosen = files[:: -(-len(files) // MOST_MASKS)]
    masks = [_mask(path) for path in chosen]
    values = np.concatenate([mask.ravel() for mask in masks])
    if set(np.unique(values).tolist()) == {0, 255}:  # black and white, as foreground is often painted
        values = (values > 0).astype(np.uint8)
    return values.reshape(1, 1, -1)


def _mask(path: Path) -> Array:
    from PIL import Image, UnidentifiedImageError

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            with Image.open(path) as image:
                if image.mode not in ("1", "L", "P", "I", "I;16"):
                    hint = "save masks with one channel, whose value is the class"
                    raise UserError("masks with one number a pixel", f"an image of mode {image.mode}: {path}", hint)
                return np.asarray(image).astype(np.int64)
    except (OSError, UnidentifiedImageError, Image.DecompressionBombWarning, Image.DecompressionBombError) as error:
        raise UserError("a mask that can be read", f"{error} ({path})"[:300], "restore or remove it") from None
