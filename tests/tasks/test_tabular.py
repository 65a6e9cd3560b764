"""Classification on tables: conformance, rows that no two splits share, words as features, balanced draws."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from representative import first_of
from tasks import tables

from lossearch.errors import UserError
from lossearch.tasks import build_task, task_config
from lossearch.tasks.datasets import data, registry
from lossearch.tasks.tabular.config import TabularConfig
from lossearch.tasks.tabular.rows import read_table, search_rows, test_rows
from lossearch.testing import check_task

SMALL: dict[str, Any] = {
    "family": "tabular_classification",
    "dataset": "page_blocks",
    "hidden": [8],
    "train_size": 100,
    "val_size": 60,
    "test_size": 40,
    "optimizer": "adam",
    "learning_rate": 0.02,
    "batch_size": 20,
    "steps": 40,
}
DIFFERENT, COPIES, RARE = 240, 30, 24


def _content() -> bytes:
    """240 rows of two numbers and a word, 24 of them positive, and 30 copies of the first, as KEEL writes them."""
    draw = np.random.default_rng(0)
    rows = []
    for k in range(DIFFERENT):
        positive = k % (DIFFERENT // RARE) == 0
        first = draw.normal(3.0 * positive)
        rows.append(f"{first:.6f}, .{k:03d}, {'MFI'[k % 3]}, {'positive' if positive else 'negative'}")
    return "\n".join([*rows, *rows[:COPIES]]).encode()


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a made-up table in the place of the blocks of pages."""
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    _put(tmp_path, monkeypatch, _content(), DIFFERENT + COPIES)
    return tmp_path


def _put(folder: Path, monkeypatch: pytest.MonkeyPatch, content: bytes, rows: int) -> None:
    files = {"page-blocks0.dat": content}
    tables.register(monkeypatch, "page_blocks", files, rows)
    place = folder / "page_blocks"
    place.mkdir(exist_ok=True)
    (place / "page-blocks0.dat").write_bytes(content)


def _config(**changes: Any) -> TabularConfig:
    found = task_config({**SMALL, **changes})
    assert isinstance(found, TabularConfig)
    return found


@pytest.mark.parametrize("resample", first_of([True, False]))
def test_the_family_conforms(resample: bool) -> None:
    check_task(build_task(SMALL | {"resample": resample}), 60)


def test_rows_without_names_are_read_with_their_classes() -> None:
    found = data.load_rows("page_blocks")
    assert list(found) == ["0", "1", "2", "label"]
    assert found["1"][:2] == [".000", ".001"]
    assert found["label"][:2] == ["positive", "negative"]


def test_numbers_stay_numbers_and_words_become_a_feature_each() -> None:
    table = read_table(_config())
    assert table.features.shape == (DIFFERENT, 5)
    np.testing.assert_allclose(table.features[:3, 1], [0.0, 0.001, 0.002])
    words = {"M": [0, 0, 1], "F": [1, 0, 0], "I": [0, 1, 0]}  # in the order F, I, M
    assert table.features[:3, 2:].tolist() == [words[word] for word in "MFI"]


def test_of_equal_rows_one_is_taken_and_no_row_is_in_two_splits() -> None:
    config = _config()
    table = read_table(config)
    test = test_rows(config, table)
    drawn = [search_rows(config, table, seed) for seed in (1, 2)]
    for train, validation in drawn:
        assert [len(train), len(validation), len(test)] == [100, 60, 40]
        assert len(np.unique(np.concatenate([train, validation, test]))) == 200
        assert [int(table.labels[rows].sum()) for rows in (train, validation, test)] == [10, 6, 4]
    assert set(drawn[0][0]) != set(drawn[1][0])


def test_trainings_draw_their_own_rows_unless_told_otherwise() -> None:
    fixed, drawn = build_task(SMALL | {"resample": False}), build_task(SMALL)
    assert fixed.draw(1)[0] is fixed.draw(2)[0]
    assert not torch.equal(drawn.draw(1)[0]["features"], drawn.draw(2)[0]["features"])


def test_features_are_scaled_by_the_training_rows_and_classes_are_counted() -> None:
    task = build_task(SMALL | {"resample": False})
    train = task.draw(0)[0]["features"]
    torch.testing.assert_close(train.mean(0), torch.zeros(5), atol=1e-5, rtol=0)
    torch.testing.assert_close(train.std(0, correction=0), torch.ones(5), atol=1e-5, rtol=0)
    assert task.buffers("loss")["class_count"].tolist() == [90, 10]
    torch.testing.assert_close(task.buffers("loss")["class_weight"], torch.tensor([1 / 1.8, 5.0]))
    assert "100 training rows, 10 of them of the rarest of 2 classes" in task.describe()
    assert task.facts()["metric"] == "balanced_accuracy"
    assert task.facts()["class_frequencies"] == pytest.approx((0.9, 0.1))


def test_a_class_that_is_unknown_and_too_few_different_rows_are_told(
    folder: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with pytest.raises(UserError, match=r"250 different rows.*240 in page_blocks"):
        build_task(SMALL | {"train_size": 150})
    _put(folder, monkeypatch, _content().replace(b"positive", b"perhaps"), DIFFERENT + COPIES)
    with pytest.raises(UserError, match=r"undamaged.*the class 'perhaps', which is none of negative, positive"):
        build_task(SMALL)


def test_a_missing_table_names_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSEARCH_DATA", str(folder / "elsewhere"))
    assert not task_config(SMALL).is_available()
    with pytest.raises(UserError, match="lossearch data fetch page_blocks"):
        build_task(SMALL)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"test_size": 111}, "271 rows for train, validation and test are more than the 270"),
        ({"dataset": "co2"}, "must be one of page_blocks, yeast4, abalone19"),
        ({"metric": "dice"}, "must be one of accuracy"),
        ({"batch_size": 101}, "batch_size 101 exceeds train_size 100"),
        ({"noise": "symmetric"}, "noise"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        task_config({**SMALL, **changes})


@pytest.mark.network
@pytest.mark.parametrize(("name", "rare"), [("page_blocks", 559), ("yeast4", 51), ("abalone19", 32)])
def test_tables_can_be_fetched_and_read(name: str, rare: int, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.undo()  # the made-up table
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path / "real"))
    assert data.fetch(name) == tmp_path / "real" / name
    labels = data.load_rows(name)["label"]
    assert (len(labels), labels.count("positive")) == (registry.dataset(name).train_samples, rare)
