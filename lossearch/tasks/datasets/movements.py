"""Recordings of people's movements by sensors, and where they come from."""

from __future__ import annotations

from types import MappingProxyType

from lossearch.tasks.datasets.dataset import PackageSource, Recordings

SHOULDER_EXERCISES = Recordings(
    name="shoulder_exercises",
    description="seven exercises of the shoulder by 10 people, acceleration and rotation of a watch",
    classes=("pendulum", "abduction", "elevation", "internal rotation", "external rotation", "trapezius", "row"),
    image_shape=(),
    train_samples=140,
    sensors=6,
    people=10,
    files=MappingProxyType({"watch_dataset.npy": "eb122f23cdf06ef6bd6c6c5312958ec5cf9d038e2e6d457b8081662c75a42537"}),
    sizes=MappingProxyType({"watch_dataset.npy": 18_118_091}),
    source=PackageSource(
        package="seglearn",
        version="1.2.5",
        sha256="ec6b952c85c9627050102854b372d85951563d3b990df677d7c55547e87413dd",
        size=11_320_941,
        folder="seglearn/data",
        registry="pypi",
    ),
    origin="Burns et al. 2018 (Shoulder physiotherapy exercise recognition)",
    licence="package BSD-3-Clause, which names no licence of the data",
)

BASIC_MOTIONS = Recordings(
    name="basic_motions",
    description="four activities of four students, acceleration and rotation of a watch in ten seconds",
    classes=("Standing", "Running", "Walking", "Badminton"),
    image_shape=(),
    train_samples=80,
    sensors=6,
    files=MappingProxyType(
        {
            "BasicMotions_TRAIN.ts": "8dc43cc6306cb679c888c01e26f91772ac4441a916da43bac8b79734a538b9d6",
            "BasicMotions_TEST.ts": "79213102bc6fca1a398ad98ce1185dff0208fa3d1465e687f48288946b0ff8dc",
        }
    ),
    sizes=MappingProxyType({"BasicMotions_TRAIN.ts": 227_790, "BasicMotions_TEST.ts": 227_713}),
    source=PackageSource(
        package="aeon",
        version="1.6.0",
        sha256="d05227086706f80111ac5fee8de4d5d3115bb3bcfd1c786c8629393055816409",
        size=6_421_000,
        folder="aeon/datasets/data/BasicMotions",
        registry="pypi",
    ),
    origin="Bagnall et al. 2018 (UEA archive)",
    licence="package BSD-3-Clause, which names no licence of the data",
)

MOVEMENTS = (SHOULDER_EXERCISES, BASIC_MOTIONS)
"""In listing order."""
