"""The datasets that tasks can be built on, and where each comes from."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from types import MappingProxyType

from lossearch.registry import Registry


@dataclass(frozen=True)
class Source:
    """A Debian package that carries a dataset.

    Attributes:
        package: name of the package.
        version: exact version.
        sha256: of the package file (`.deb`).
        folder: folder inside the package that holds the dataset's files.
    """

    package: str
    version: str
    sha256: str
    folder: str


@dataclass(frozen=True)
class Dataset:
    """What is known of a dataset before any of it is read.

    Attributes:
        name: name in configs and on the command line.
        description: one line.
        classes: class names, in label order.
        image_shape: (channel, height, width).
        train_samples: images outside the official test split.
        test_samples: images of the official test split; 0 where the dataset has none.
        files: idx file (without `.gz`) to SHA-256 of its uncompressed content; empty for an embedded dataset.
        source: where `fetch` gets it; None for a dataset embedded in an installed dependency.
        other_folders: folders below the data folder, left there by other programs, that hold the same files.
        origin: who made it (author, year).
    """

    name: str
    description: str
    classes: tuple[str, ...]
    image_shape: tuple[int, int, int]
    train_samples: int
    test_samples: int
    files: Mapping[str, str] = field(default_factory=dict)
    source: Source | None = None
    other_folders: tuple[str, ...] = ()
    origin: str = ""

    @property
    def embedded(self) -> bool:
        """Whether the data comes with an installed dependency, so that nothing has to be fetched."""
        return self.source is None

    def size_of(self, file: str) -> int:
        """Bytes of one of its idx files, unpacked: 4 and 4 for each axis in the header, and one for each number."""
        samples = self.train_samples if file.startswith("train") else self.test_samples
        return 16 + samples * math.prod(self.image_shape) if "images" in file else 8 + samples


DIGITS = Dataset(
    name="digits",
    description="handwritten digits, 8x8, 16 grey levels (embedded in scikit-learn)",
    classes=tuple("0123456789"),
    image_shape=(1, 8, 8),
    train_samples=1797,
    test_samples=0,
    origin="Alpaydin and Kaynak 1998 (UCI Optical Recognition of Handwritten Digits, test part)",
)

FASHION_MNIST = Dataset(
    name="fashion_mnist",
    description="articles of clothing, 28x28, 256 grey levels",
    classes=(
        "t-shirt",
        "trouser",
        "pullover",
        "dress",
        "coat",
        "sandal",
        "shirt",
        "sneaker",
        "bag",
        "ankle boot",
    ),
    image_shape=(1, 28, 28),
    train_samples=60_000,
    test_samples=10_000,
    files=MappingProxyType(
        {
            "train-images-idx3-ubyte": "c59f468a2f672dc815687fe0f83887768d799fd8a3f3276145d20f83aa44d888",
            "train-labels-idx1-ubyte": "bad3541b69d912435c50bb6ba87bec294ff4f6a2e1246121d8633921760443d9",
            "t10k-images-idx3-ubyte": "5b4141f0afbad91edebe8549f8fcffe087ea10ca49f1dbef5c9a5cd8815ce37b",
            "t10k-labels-idx1-ubyte": "0402a96d92fd2663957122ceb108a494c5af83dab82d92729df917d7dec38c34",
        }
    ),
    source=Source(
        package="dataset-fashion-mnist",
        version="0.0~git20200523.55506a9-1",
        sha256="39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
        folder="usr/share/datasets/fashion-mnist",
    ),
    other_folders=("FashionMNIST/raw",),  # torchvision.datasets.FashionMNIST(root=LOSSEARCH_DATA)
    origin="Xiao, Rasul and Vollgraf 2017",
)

DATASETS: Registry[Dataset] = Registry("a data set", where="see: lossearch data ls", group="lossearch.datasets")
"""Every known dataset by name, in listing order."""

for known in (DIGITS, FASHION_MNIST):
    DATASETS.add(known.name, known)


def datasets() -> dict[str, Dataset]:
    """Every known dataset by name, in listing order."""
    DATASETS.extend()
    return dict(DATASETS)


def dataset(name: str) -> Dataset:
    """The dataset called `name`.

    Raises:
        UserError: there is none of that name.
    """
    DATASETS.extend()
    return DATASETS.find(name)
