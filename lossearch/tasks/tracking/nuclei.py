"""Nuclei of a film by track: which of a frame's is which of the next."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

REACH = 25.0
"""Pixels that the centre of a nucleus may lie from where it was last, at most."""

LEAST = 30
"""Pixels of a box's shorter side, below which a mask is only a part of a nucleus."""

Box = npt.NDArray[np.float32]
"""x1, y1, x2, y2 in pixels: `[4]`."""


@dataclass(frozen=True)
class Sighting:
    """A nucleus in a frame.

    Attributes:
        nucleus: its number, from 0, by when it was first seen.
        time: of the frame.
        depth: of the frame; several are taken at each time.
        box: around its mask.
    """

    nucleus: int
    time: int
    depth: int
    box: Box


def sightings(objects: npt.NDArray[np.uint16], depths: int) -> list[Sighting]:
    """All nuclei, followed from frame to frame by where they are: masks are numbered anew where a number jumps.

    Args:
        objects: `[frame, height, width]`, numbers of objects, 0 elsewhere; frame f is of time f // depths.
        depths: frames of each time.
    """
    last: list[npt.NDArray[np.float32]] = []  # centres by nucleus
    found: list[Sighting] = []
    for frame, mask in enumerate(objects):
        for box in boxes(mask).values():
            centre = (box[:2] + box[2:]) / 2.0
            far = [float(np.linalg.norm(centre - other)) for other in last]
            nucleus = int(np.argmin(far)) if far and min(far) <= REACH else len(last)
            last[nucleus : nucleus + 1] = [centre]
            found.append(Sighting(nucleus, frame // depths, frame % depths, box))
    return found


def boxes(mask: npt.NDArray[np.uint16]) -> Mapping[int, Box]:
    """Boxes around the objects of a frame by their numbers, but for those that are too small to be a nucleus."""
    found: dict[int, Box] = {}
    for number in np.unique(mask[mask > 0]).tolist():
        rows, columns = np.nonzero(mask == number)
        top, left, bottom, right = rows.min(), columns.min(), rows.max() + 1, columns.max() + 1
        if min(bottom - top, right - left) >= LEAST:
            found[number] = np.array([left, top, right, bottom], dtype=np.float32)
    return found
