"""Made-up recordings of sensors in the place of real ones, in files as the packages carry them.

The class of a recording is how fast its sensors swing; people differ in how far.
"""

from __future__ import annotations

import dataclasses
import hashlib
import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from lossearch.tasks.datasets import registry
from lossearch.tasks.datasets.dataset import Recordings

CLASSES, PEOPLE, SENSORS = 3, 8, 2


def recordings(people: int = PEOPLE, of_each: int = 2 * CLASSES) -> dict[str, Any]:
    """The dictionary that is pickled: recordings of 40 to 60 steps, their classes and people, in no order."""
    draw = np.random.default_rng(0)
    order = draw.permutation(people * of_each)
    labels, persons = order % CLASSES, order // of_each
    values = []
    for label, person in zip(labels, persons, strict=True):
        angle = np.arange(draw.integers(40, 60))[:, None] * (0.3 + 0.5 * label) + draw.uniform(0, 6, (1, SENSORS))
        values.append((1 + person / people) * np.sin(angle) + 0.05 * draw.normal(size=(len(angle), SENSORS)))
    return {"X": values, "y": labels, "subject": persons + 1}


def npy(table: Any) -> bytes:
    """An array of one object, as NumPy writes it."""
    stream = io.BytesIO()
    np.save(stream, np.array(table, dtype=object), allow_pickle=True)
    return stream.getvalue()


def npy_of(pickled: bytes) -> bytes:
    """The same, of what is already pickled."""
    head = npy(None)
    return head[: len(head) - len(pickle.dumps(np.array(None, dtype=object), protocol=4))] + pickled


def ts(table: Mapping[str, Any], names: tuple[str, ...], steps: int = 40) -> bytes:
    """The same recordings as text, the first steps of each."""
    lines = ["#made up", "@data"]
    for values, label in zip(table["X"], table["y"], strict=True):
        sensors = [",".join(map(repr, sensor[:steps].tolist())) for sensor in np.asarray(values).T]
        lines.append(":".join([*sensors, names[label]]))
    return "\n".join(lines).encode()


def put(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, files: Mapping[str, bytes], **known: Any) -> None:
    """Have the registry know a data set by these files, and put them where `fetch` puts them."""
    spec = registry.DATASETS[name]
    assert isinstance(spec, Recordings)
    changed = dataclasses.replace(
        spec,
        **{"classes": spec.classes[:CLASSES], "sensors": SENSORS, **known},
        files={file: hashlib.sha256(content).hexdigest() for file, content in files.items()},
        sizes={file: len(content) for file, content in files.items()},
    )
    monkeypatch.setitem(registry.DATASETS, name, changed)
    (folder / name).mkdir(exist_ok=True, parents=True)
    for file, content in files.items():
        (folder / name / file).write_bytes(content)
