"""Action recognition: conformance, splits that share no person, windows, wrong labels in training alone."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from tasks import movements

from lossearch.errors import UserError
from lossearch.tasks import build_task, task_config
from lossearch.tasks.action_recognition.config import ActionRecognitionConfig
from lossearch.tasks.action_recognition.windows import search_parts, test_part, windows
from lossearch.tasks.datasets.data import load_recordings
from lossearch.tasks.datasets.recordings import Recorded
from lossearch.testing import check_task

BY_PERSON: dict[str, Any] = {
    "family": "action_recognition",
    "dataset": "shoulder_exercises",
    "channels": [8],
    "shrink": 2,
    "window": 16,
    "windows": 3,
    "train_people": 3,
    "val_people": 2,
    "test_people": 2,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "batch_size": 18,
    "steps": 40,
}
BY_RECORDING = BY_PERSON | {"dataset": "basic_motions", "train_people": 21, "val_people": 12, "test_people": 15}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with made-up recordings in the place of both data sets."""
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    table = movements.recordings()
    known = {"train_samples": len(table["X"])}
    files = {"watch_dataset.npy": movements.npy(table)}
    movements.put(tmp_path, monkeypatch, "shoulder_exercises", files, people=movements.PEOPLE, **known)
    files = {"A_TRAIN.ts": movements.ts(table, ("Standing", "Running", "Walking"))}
    movements.put(tmp_path, monkeypatch, "basic_motions", files, **known)
    return tmp_path


@pytest.mark.parametrize(
    "values",
    [
        BY_PERSON | {"noise": "symmetric", "noise_rate": 0.2},
        BY_RECORDING | {"resample": True, "imbalance": 2.0, "metric": "balanced_accuracy"},
    ],
    ids=["people", "recordings"],
)
def test_the_family_conforms(values: dict[str, Any]) -> None:
    check_task(build_task(values), 40)


def _config(**changes: Any) -> ActionRecognitionConfig:
    found = task_config({**BY_PERSON, **changes})
    assert isinstance(found, ActionRecognitionConfig)
    return found


def _owners(cut: np.ndarray, config: ActionRecognitionConfig, recorded: Recorded) -> set[int]:
    """People whose recordings these windows are of."""
    own = {
        window.tobytes(): int(person)
        for values, person in zip(recorded.values, recorded.people, strict=True)
        for window in windows(config, values)
    }
    return {own[window.tobytes()] for window in cut}


@pytest.mark.parametrize("values", [BY_PERSON, BY_RECORDING], ids=["people", "recordings"])
def test_no_person_is_in_two_splits_and_the_test_people_are_fixed(values: dict[str, Any]) -> None:
    config = _config(**values)
    recorded = load_recordings(config.dataset)
    test = _owners(test_part(config, recorded).windows, config, recorded)
    assert len(test) == config.test_people
    found = []
    for seed in (1, 2):
        parts = search_parts(config, recorded, seed)
        train, validation = (_owners(part.windows, config, recorded) for part in parts)
        assert (len(train), len(validation)) == (config.train_people, config.val_people)
        assert [len(part.labels) for part in parts] == [config.train_size, config.val_size]
        assert not train & validation
        assert not (train | validation) & test
        for part in parts:  # as many of every class
            assert len(set(np.bincount(part.labels).tolist())) == 1
        found.append(train)
    assert found[0] != found[1]


def test_trainings_draw_their_own_people_where_asked() -> None:
    fixed, drawn = build_task(BY_PERSON), build_task(BY_PERSON | {"resample": True})
    assert fixed.draw(1)[0] is fixed.draw(2)[0]
    assert not torch.equal(drawn.draw(1)[0]["windows"], drawn.draw(2)[0]["windows"])


def test_windows_are_means_of_steps_and_spread_from_the_first_to_the_last() -> None:
    config = _config(shrink=2, window=3, windows=3)
    recording = np.stack([np.arange(21.0), -np.arange(21.0)], 1).astype(np.float32)
    found = windows(config, recording)
    means = np.arange(10) * 2 + 0.5
    expected = np.stack([means[start : start + 3] for start in (0, 4, 7)])
    np.testing.assert_allclose(found[:, 0], expected)
    np.testing.assert_allclose(found[:, 1], -expected)
    with pytest.raises(UserError, match=r"at least 10 steps.*one of 9"):
        windows(config, recording[:9])


def test_wrong_labels_and_imbalance_are_in_training_windows_alone() -> None:
    recorded = load_recordings("shoulder_exercises")
    clean = search_parts(_config(), recorded)
    for kind in ("symmetric", "asymmetric"):
        train, validation = search_parts(_config(noise=kind, noise_rate=0.5), recorded)
        assert (train.labels != train.clean_labels).mean() == 0.5
        np.testing.assert_array_equal(train.clean_labels, clean[0].labels)
        np.testing.assert_array_equal(train.windows, clean[0].windows)
        np.testing.assert_array_equal(validation.labels, clean[1].labels)
    config = _config(imbalance=9.0)
    train, validation = search_parts(config, recorded)
    assert np.bincount(train.labels).tolist() == [18, 6, 2]
    np.testing.assert_array_equal(validation.labels, clean[1].labels)
    task = build_task(config)
    assert task.buffers("loss")["class_count"].tolist() == [18, 6, 2]
    with pytest.raises(UserError, match=r"one batch of 18 training windows.*14 after imbalance 100"):
        build_task(_config(imbalance=100.0, windows=2))


def test_sensors_are_scaled_by_the_training_windows() -> None:
    train = build_task(BY_PERSON).draw(0)[0]["windows"]
    torch.testing.assert_close(train.mean((0, 2)), torch.zeros(2), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.std((0, 2), correction=0), torch.ones(2), atol=1e-5, rtol=0)


def test_a_task_tells_its_sizes_and_its_facts() -> None:
    task = build_task(BY_PERSON | {"noise": "symmetric", "noise_rate": 0.5})
    told = "54 training windows of 3 people and 36 validation windows of 2 others, 3 classes, 50% wrong labels"
    assert told in task.describe()
    assert "of 21 recordings and" in build_task(BY_RECORDING).describe()
    facts = task.facts()
    assert facts["classes"] == 3
    assert facts["metric"] == "accuracy"
    assert sum(facts["class_frequencies"]) == pytest.approx(1.0)


def test_missing_recordings_name_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSEARCH_DATA", str(folder / "elsewhere"))
    assert not task_config(BY_PERSON).is_available()
    with pytest.raises(UserError, match="lossearch data fetch shoulder_exercises"):
        build_task(BY_PERSON)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"test_people": 4}, "9 people for train, validation and test are more than the 8"),
        ({"dataset": "basic_motions", "train_people": 45}, "49 recordings for train"),
        ({"dataset": "co2"}, "must be one of shoulder_exercises, basic_motions"),
        ({"metric": "dice"}, "must be one of accuracy"),
        ({"noise_rate": 0.1}, "noise 'none' does not go with noise_rate 0.1"),
        ({"batch_size": 55}, "batch_size 55 exceeds train_size 54"),
        ({"channels": []}, "channels"),
        ({"kernel": 3}, "kernel"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        task_config({**BY_PERSON, **changes})
