"""Recordings of sensors: read out of pickled arrays and text, and nothing of a file is run."""

from __future__ import annotations

import pickle
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tasks import movements

from lossearch.errors import UserError
from lossearch.tasks.datasets import data, registry

TABLE = movements.recordings(people=2)
COUNT = len(TABLE["X"])
PICKLED, TEXT = "shoulder_exercises", "basic_motions"
NAMES = ("Standing", "Running", "Walking")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty data folder."""
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    return tmp_path


def _pickled(folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, **known: Any) -> None:
    known = {"train_samples": COUNT, "people": 2, **known}
    movements.put(folder, monkeypatch, PICKLED, {"watch_dataset.npy": content}, **known)


def test_pickled_recordings_are_read_with_their_people(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _pickled(folder, monkeypatch, movements.npy(TABLE))
    found = data.load_recordings(PICKLED)
    for given, values in zip(TABLE["X"], found.values, strict=True):
        np.testing.assert_array_equal(values, given.astype(np.float32))
    assert found.labels.tolist() == TABLE["y"].tolist()
    assert found.people.tolist() == (TABLE["subject"] - 1).tolist()


def test_text_is_read_sensor_by_sensor_and_each_recording_stands_alone(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    files = {"A_TRAIN.ts": movements.ts(TABLE, NAMES), "A_TEST.ts": b"#a\n@data\n1,2,3:4,5,6:Walking\n"}
    movements.put(folder, monkeypatch, TEXT, files, train_samples=COUNT + 1)
    found = data.load_recordings(TEXT)
    np.testing.assert_array_equal(found.values[0], TABLE["X"][0][:40].astype(np.float32))
    assert found.values[-1].tolist() == [[1, 4], [2, 5], [3, 6]]
    assert found.labels.tolist() == [*TABLE["y"].tolist(), 2]
    assert found.people.tolist() == list(range(COUNT + 1))


class _Harmful:
    def __reduce__(self) -> tuple[Any, tuple[str]]:
        return Path.touch, ("harm",)


def test_a_file_that_asks_for_more_than_arrays_is_refused_and_not_run(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(folder)
    for harmful in (movements.npy({"X": _Harmful()}), movements.npy_of(pickle.dumps(_Harmful(), protocol=4))):
        _pickled(folder, monkeypatch, harmful)
        with pytest.raises(UserError, match=r"(?s)UnpicklingError: it asks for .*fetch shoulder_exercises"):
            data.load_recordings(PICKLED)
    assert not (folder / "harm").exists()


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (movements.npy([1, 2]), "ValueError"),
        (movements.npy({"X": TABLE["X"], "y": TABLE["y"]}), "KeyError: 'subject'"),
        (movements.npy({**TABLE, "y": TABLE["y"][1:]}), "ValueError"),
        (movements.npy({**TABLE, "y": TABLE["y"] + 1}), "a class that is none of the 3"),
        (movements.npy({**TABLE, "subject": TABLE["subject"] * 0}), "1 people, where 2 were recorded as often each"),
        (movements.npy({**TABLE, "subject": TABLE["y"].clip(0, 1)}), "2 people, where 2 were recorded as often each"),
        (movements.npy({**TABLE, "X": [one[:, :1] for one in TABLE["X"]]}), "not of 2 sensors"),
        (movements.npy({**TABLE, "X": [one * np.nan for one in TABLE["X"]]}), "not finite"),
        (movements.npy({name: rows[1:] for name, rows in TABLE.items()}), f"{COUNT - 1} recordings"),
        (movements.npy(TABLE)[:-300], "UnpicklingError|EOFError|ValueError"),
        (movements.npy_of(pickle.dumps(3)), "AttributeError"),
        (b"\x93NUMPY\x02\x00", "version"),
        (b"", "ValueError"),
    ],
)
def test_pickled_files_that_hold_something_else_are_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, told: str
) -> None:
    _pickled(folder, monkeypatch, content)
    with pytest.raises(UserError, match=told):
        data.load_recordings(PICKLED)


@pytest.mark.parametrize(
    ("content", "told"),
    [
        (b"1,2:3,4:Walking", "ValueError"),
        (b"@data\n1,2:3,4:Swimming", "ValueError"),
        (b"@data\n1,2:3:Walking", "ValueError"),
        (b"@data\n1,2:3,four:Walking", "ValueError"),
        (b"@data\n1,2:Walking", "not of 2 sensors"),
        (b"@data\n", "0 recordings"),
    ],
)
def test_text_that_holds_something_else_is_refused(
    folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, told: str
) -> None:
    movements.put(folder, monkeypatch, TEXT, {"A_TRAIN.ts": content}, train_samples=1)
    with pytest.raises(UserError, match=told):
        data.load_recordings(TEXT)


def test_missing_recordings_name_the_command_and_other_kinds_are_told_apart(folder: Path) -> None:
    with pytest.raises(UserError, match="lossearch data fetch basic_motions"):
        data.load_recordings(TEXT)
    with pytest.raises(UserError, match="a dataset of recordings"):
        data.load_recordings("digits")


@pytest.mark.network
@pytest.mark.parametrize("name", [PICKLED, TEXT])
def test_recordings_can_be_fetched_and_read(folder: Path, name: str) -> None:
    assert data.fetch(name) == folder / name
    assert len(data.load_recordings(name).values) == registry.dataset(name).train_samples
