from __future__ import annotations

import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from representative import first_of
from tasks import pictures
from torch import Tensor

from lossearch.errors import UserError
from lossearch.tasks import build_task, task_config
from lossearch.tasks.described import Split
from lossearch.tasks.metric_learning.config import MetricLearningConfig
from lossearch.tasks.metric_learning.disturbances import disturbed
from lossearch.tasks.metric_learning.metrics import FALSE_ACCEPTS, METRICS, measured
from lossearch.tasks.metric_learning.models import EmbeddingNet
from lossearch.tasks.metric_learning.splits import batch_order
from lossearch.testing import check_task
from lossearch.training.stacked_models import DataOrder

SMALL = {
    "family": "metric_learning",
    "dataset": "quickdraw",
    "channels": [8],
    "features": 16,
    "train_classes": 24,
    "val_classes": 12,
    "test_classes": 12,
    "train_per_class": 8,
    "held_per_class": 6,
    "optimizer": "adam",
    "learning_rate": 0.01,
    "batch_size": 16,
    "steps": 40,
}
IMAGES = pictures.pictures()
ONES = {name: [1.0] for name in METRICS}


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with made-up pictures that the registry knows as sketches."""
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    pictures.register(monkeypatch, "quickdraw", None, IMAGES)
    pictures.write(tmp_path / "quickdraw", IMAGES)
    return tmp_path


@pytest.mark.parametrize(
    "changes",
    first_of(
        [
            {"resample": True, "mislabelled": 0.1, "lighting": 0.2, "copies": 2},
            {"given": "cosines"},
            {"metric": "tar_at_far", "shrink": 3, "batch_size": 32},
        ]
    ),
)
def test_the_family_conforms(changes: dict[str, Any]) -> None:
    check_task(build_task({**SMALL, **changes}), 40)


def _whole(classes: Tensor | np.ndarray) -> set[bytes]:
    """The left half of each picture, blocks of which are bright where their class has them."""
    blocks = np.asarray(classes)[:, 0, :, :6].reshape(-1, 4, 3, 2, 3).mean((2, 4))
    middle = (blocks.max() + blocks.min()) / 2
    return {(row > middle).tobytes() for row in blocks}


def test_no_class_is_in_two_splits_and_the_test_classes_are_fixed() -> None:
    task = build_task({**SMALL, "resample": True})
    with task.open_test(by="test") as split:
        test = Split(split.tensors)
    for seed in range(4):
        parts = [_whole(split["images"]) for split in (*task.draw(seed), test)]
        assert [len(part) for part in parts] == [24, 12, 12]
        assert not parts[0] & parts[1]
        assert not parts[2] & (parts[0] | parts[1])
    first, other, again = task.draw(1), task.draw(2), task.draw(1)
    assert _whole(first[0]["images"]) != _whole(other[0]["images"])
    assert torch.equal(first[0]["images"], again[0]["images"])
    fixed = build_task(SMALL)
    assert fixed.draw(1)[0] is fixed.draw(2)[0]


def test_labels_tell_classes() -> None:
    for split, classes, size in zip(build_task(SMALL).draw(0), (24, 12), (8, 6), strict=True):
        assert split["labels"].tolist() == [label for label in range(classes) for _ in range(size)]
        for label in range(classes):
            assert len(_whole(split["images"][split["labels"] == label])) == 1


def test_mislabelled_samples_are_exchanged_within_the_training_split() -> None:
    clean, wrong = (build_task({**SMALL, "resample": True, "mislabelled": rate}).draw(3) for rate in (0.0, 0.25))
    changed = (clean[0]["images"] != wrong[0]["images"]).flatten(1).any(1)
    assert int(changed.sum()) == 24 * 8 // 4
    assert torch.equal(clean[0]["labels"], wrong[0]["labels"])
    rows = [sorted(map(bytes, split["images"].flatten(1).numpy())) for split in (clean[0], wrong[0])]
    assert rows[0] == rows[1]
    assert torch.equal(clean[1]["images"], wrong[1]["images"])


def test_images_are_lit_from_sides_of_their_own_and_moved() -> None:
    flat = torch.ones(50, 1, 9, 7)
    lit = disturbed(flat, 0.8, 0, np.random.default_rng(0))
    middle = lit[:, 0, 4, 3]
    torch.testing.assert_close(middle, torch.ones(50))
    torch.testing.assert_close(lit * lit.flip(2, 3), flat)
    most = lit.flatten(1).amax(1).log()
    assert 0.8 - 1e-6 <= most.min() < 0.9
    assert 1.1 < most.max() <= 0.8 * 2**0.5 + 1e-6
    brightest = lit.flatten(1).argmax(1)
    assert len(brightest.unique()) >= 4

    numbers = torch.arange(63.0).reshape(1, 1, 9, 7).repeat(50, 1, 1, 1)
    moved = disturbed(numbers, 0.0, 2, np.random.default_rng(0))
    tops, lefts = moved[:, 0, 4, 3].long() // 7 - 4, moved[:, 0, 4, 3].long() % 7 - 3
    assert set(tops.tolist()) == set(lefts.tolist()) == {-2, -1, 0, 1, 2}
    for image, top, left in zip(moved[:, 0], tops.tolist(), lefts.tolist(), strict=True):
        rows = (torch.arange(9) + top).clamp(0, 8)
        columns = (torch.arange(7) + left).clamp(0, 6)
        assert torch.equal(image, numbers[0, 0][rows][:, columns])


def test_each_copy_of_a_training_sample_is_disturbed_by_itself() -> None:
    task = build_task({**SMALL, "resample": True, "copies": 3, "lighting": 0.5, "shift": 1, "train_per_class": 4})
    for seed in (1, 2):
        train, validation = task.draw(seed)
        assert len(train) == 24 * 4 * 3
        assert len(validation) == 12 * 6
        assert train["labels"].bincount().tolist() == [12] * 24
        assert len(train["images"].flatten(1).unique(dim=0)) == len(train)
    again = build_task(task.config).draw(2)
    assert torch.equal(again[0]["images"], train["images"])
    assert torch.equal(again[1]["images"], validation["images"])


def test_every_batch_has_several_samples_of_several_classes() -> None:
    classes, per_class, in_batch, together = 6, 8, 3, 4
    epochs = [batch_order(classes, per_class, in_batch, together, np.random.default_rng(seed)) for seed in range(20)]
    for order in epochs:
        assert sorted(order.tolist()) == list(range(classes * per_class))
        for batch in order.reshape(-1, in_batch * together):
            _, counts = np.unique(batch // per_class, return_counts=True)
            assert counts.tolist() == [together] * in_batch
    met = {frozenset((batch // per_class).tolist()) for order in epochs for batch in order.reshape(-1, 12)}
    assert len(met) == math.comb(classes, in_batch)
    groups = {tuple(sorted(order[order < per_class][:together].tolist())) for order in epochs}
    assert len(groups) > 10


def test_trainings_take_the_batches_of_the_task() -> None:
    task = build_task(SMALL)
    labels = task.draw(5)[0]["labels"]
    order = DataOrder(task.order, [5, 6], len(labels), 16)
    for step in range(9):
        for batch in order.batch(step):
            assert labels[batch].bincount(minlength=24).sort().values.tolist() == [0] * 20 + [4] * 4


def _oracle(embeddings: np.ndarray, labels: np.ndarray) -> dict[str, float]:
    """The metrics as they are defined, sample by sample and pair by pair."""
    count = len(labels)
    unit = embeddings / np.linalg.norm(embeddings, axis=1, keepdims=True)
    hits, precisions = [], []
    for query in range(count):
        others = sorted((k for k in range(count) if k != query), key=lambda k: -float(unit[query] @ unit[k]))
        relevant = [labels[k] == labels[query] for k in others]
        if not any(relevant):
            continue
        hits.append(relevant[0])
        most = sum(relevant)
        precisions.append(sum(sum(relevant[: i + 1]) / (i + 1) for i in range(most) if relevant[i]) / most)
    pairs = [(float(unit[i] @ unit[j]), labels[i] == labels[j]) for i in range(count) for j in range(i)]
    genuine, impostors = [s for s, same in pairs if same], [s for s, same in pairs if not same]
    best = 0.0
    for threshold in [*impostors, -2.0]:
        if sum(s > threshold for s in impostors) <= FALSE_ACCEPTS * len(impostors):
            best = max(best, sum(s > threshold for s in genuine) / len(genuine))
    return {"recall_at_1": float(np.mean(hits)), "map_at_r": float(np.mean(precisions)), "tar_at_far": best}


def test_metrics_are_as_they_are_defined() -> None:
    draw = torch.Generator().manual_seed(0)
    labels = torch.stack([torch.randint(6, (60,), generator=draw), torch.arange(60) % 7])
    labels[0, 0] = 99  # one that has no other of its class
    centers = torch.randn(100, 5, generator=draw, dtype=torch.float64)
    embeddings = centers[labels] + 0.8 * torch.randn(2, 60, 5, generator=draw, dtype=torch.float64)
    found = measured(embeddings, labels)
    assert list(found) == list(METRICS)
    for run in range(2):
        expected = _oracle(embeddings[run].numpy(), labels[run].numpy())
        for name, value in found.items():
            assert float(value[run]) == pytest.approx(expected[name], abs=1e-6), name
        assert 0.05 < expected["tar_at_far"] < expected["recall_at_1"] < 0.95


def test_metrics_at_the_ends_of_their_range() -> None:
    labels = torch.arange(12).repeat_interleave(4).unsqueeze(0)
    apart = torch.eye(12).repeat_interleave(4, 0).unsqueeze(0)
    assert {name: value.tolist() for name, value in measured(apart, labels).items()} == ONES
    collapsed = measured(torch.ones(1, 48, 12), labels)
    assert collapsed["recall_at_1"].tolist() == [0.0]
    assert collapsed["tar_at_far"].tolist() == [0.0]
    assert float(collapsed["map_at_r"]) <= 4 / 48
    alone = measured(torch.eye(5).unsqueeze(0), torch.arange(5).unsqueeze(0))
    assert {name: value.tolist() for name, value in alone.items()} == {name: [0.0] for name in METRICS}
    one = measured(torch.rand(1, 5, 3), torch.zeros(1, 5, dtype=torch.int64))
    assert {name: value.tolist() for name, value in one.items()} == ONES


def test_lengths_of_embeddings_do_not_matter() -> None:
    draw = torch.Generator().manual_seed(1)
    embeddings, labels = torch.randn(1, 40, 4, generator=draw), torch.arange(40).unsqueeze(0) % 5
    longer = embeddings * torch.rand(1, 40, 1, generator=draw).add(0.1)
    for name, value in measured(longer, labels).items():
        torch.testing.assert_close(value, measured(embeddings, labels)[name])


def test_the_metric_follows_from_embeddings_and_not_from_cosines_to_centers() -> None:
    draw = torch.Generator().manual_seed(2)
    embeddings, labels = torch.randn(30, 4, generator=draw), torch.arange(30) % 5
    for name in METRICS:
        task = build_task({**SMALL, "metric": name})
        assert next(iter(task.metrics)) == name
        value = task.judge("loss", {"embeddings": embeddings, "target": labels})
        assert value == measured(embeddings.unsqueeze(0), labels.unsqueeze(0))[name][0]
    margin = build_task({**SMALL, "given": "cosines"})
    assert margin.judge("loss", {"cosine": torch.rand(30, 24), "target": labels}) is None


def test_the_network_embeds_on_the_unit_sphere() -> None:
    model = EmbeddingNet((1, 9, 7), 5, (4, 8), classes=3)
    images = torch.randn(6, 1, 9, 7)
    embeddings = model(images)
    torch.testing.assert_close(embeddings.norm(dim=1), torch.ones(6))
    expected = torch.nn.functional.cosine_similarity(embeddings.unsqueeze(1), model.centers, dim=-1)
    torch.testing.assert_close(model(images, cosines=True), expected)
    assert not list(model.buffers())
    assert not hasattr(EmbeddingNet((1, 9, 7), 5, (4,)), "centers")


def test_missing_data_name_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSEARCH_DATA", str(folder / "elsewhere"))
    assert not task_config(SMALL).is_available()
    with pytest.raises(UserError, match="lossearch data fetch quickdraw"):
        build_task(SMALL)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"test_classes": 13}, "49 classes for train, validation and test are more than the 48"),
        ({"train_per_class": 12}, "train_per_class 12 exceeds the 8 of a class"),
        ({"held_per_class": 9}, "held_per_class 9 exceeds the 8"),
        ({"batch_size": 18}, "batch_size is 18, must be a multiple of together, 4"),
        ({"batch_size": 4}, "batch_size is 4, must be at least twice together, 4"),
        ({"batch_size": 2}, "batch_size is 2, must be a multiple of together"),
        ({"train_per_class": 6}, r"train_per_class \* copies is 6, must be a multiple of together, 4"),
        ({"batch_size": 20}, "train_classes is 24, must be a multiple of batch_size / together, 5"),
        ({"shrink": 13}, "shrink 13 exceeds a side"),
        ({"dataset": "digits"}, "must be one of quickdraw, orl_faces"),
        ({"metric": "accuracy"}, "must be one of recall_at_1, map_at_r, tar_at_far"),
        ({"given": "logits"}, "embeddings"),
        ({"classes": 3}, "classes"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        task_config({**SMALL, **changes})


def test_a_configuration_tells_sizes_and_the_classes_of_a_margin_head() -> None:
    embeddings, cosines = task_config({**SMALL, "copies": 2}), task_config({**SMALL, "given": "cosines"})
    assert isinstance(embeddings, MetricLearningConfig)
    assert isinstance(cosines, MetricLearningConfig)
    train, validation = build_task(embeddings).draw(0)
    assert (embeddings.train_size, embeddings.val_size) == (len(train), len(validation))
    assert embeddings.classes is None
    assert cosines.classes == cosines.train_classes
