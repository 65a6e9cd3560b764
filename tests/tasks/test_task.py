from __future__ import annotations

import gc
import pickle
import subprocess
import sys

import numpy as np
import pytest
import torch

from lossearch.errors import UserError
from lossearch.tasks import Task, openings
from lossearch.tasks.classification.task import ImageSplit
from lossearch.tasks.datasets.data import load

DIGITS = {image.tobytes() for image in load("digits").images}


@pytest.fixture(scope="module")
def task() -> Task:
    return Task("digits_noise")


def _rows(task: Task, split: ImageSplit) -> list[bytes]:
    """Images as in the dataset: digits have 17 grey levels, so undoing the standardisation is exact."""
    statistics = task.statistics()
    images = split.images * statistics.deviation + statistics.mean
    return [image.tobytes() for image in ((images * 16).round() / 16).numpy()]


def test_the_three_splits_are_disjoint_and_cover_the_dataset(task: Task) -> None:
    with task.open_test(by="tests") as test:
        parts = [_rows(task, split) for split in (task.train, task.validation, ImageSplit(test.images, test.labels))]
    assert [len(part) for part in parts] == [800, 500, 497]
    assert set().union(*parts) == DIGITS
    assert sum(len(set(part)) for part in parts) == len(DIGITS)


def test_every_seed_draws_its_own_splits_from_what_is_not_test(task: Task) -> None:
    with task.open_test(by="tests") as test:
        test_rows = set(_rows(task, ImageSplit(test.images, test.labels)))
    draws = [task.draw(seed) for seed in (0, 1, 10_000)]
    for train, validation in draws:
        parts = [set(_rows(task, train)), set(_rows(task, validation))]
        assert len(train) == 800
        assert len(validation) == 500
        assert parts[0] | parts[1] | test_rows == DIGITS
        assert not parts[0] & parts[1]
        assert not test_rows & (parts[0] | parts[1])
        assert torch.equal(validation.labels.bincount(), task.validation.labels.bincount())
    validations = [frozenset(_rows(task, split)) for split in (task.validation, *(v for _, v in draws))]
    assert len(set(validations)) == 4
    again = Task("digits_noise").draw(1)
    assert torch.equal(again[0].images, draws[1][0].images)
    assert torch.equal(again[0].labels, draws[1][0].labels)


def test_noise_and_imbalance_are_drawn_with_the_training_images() -> None:
    task = Task({"base": "digits_noise", "imbalance": 5.0, "batch_size": 50})
    truth = {image.tobytes(): label for image, label in zip(load("digits").images, load("digits").labels, strict=True)}
    sizes: set[tuple[int, ...]] = set()
    for seed in range(3):
        train, validation = task.draw(seed)
        clean = torch.tensor([int(truth[row]) for row in _rows(task, train)])
        assert (clean != train.labels).float().mean().item() == pytest.approx(0.4, abs=1e-3)
        assert [int(truth[row]) for row in _rows(task, validation)] == validation.labels.tolist()
        sizes.add(tuple(clean.bincount().tolist()))
    assert len(sizes) == 1


def test_only_recent_draws_are_kept_in_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task("digits_noise")
    first = task.draw(0)
    assert task.draw(0) is first
    size = sum(tensor.nbytes for split in first for tensor in split.tensors.values())
    monkeypatch.setattr("lossearch.tasks.described.DRAWN_BYTES", 2 * size)
    for seed in (1, 0, 2):
        task.draw(seed)
    assert task.draw(0) is first
    task.draw(3)
    task.draw(4)
    again = task.draw(0)
    assert again is not first
    assert torch.equal(again[0].images, first[0].images)


def test_all_tasks_share_the_memory_of_recent_draws(monkeypatch: pytest.MonkeyPatch) -> None:
    tasks = [Task("digits_noise") for _ in range(3)]
    first = tasks[0].draw(0)
    size = sum(tensor.nbytes for split in first for tensor in split.tensors.values())
    monkeypatch.setattr("lossearch.tasks.described.DRAWN_BYTES", 2 * size)
    second = tasks[1].draw(0)
    assert tasks[0].draw(0) is first
    tasks[2].draw(0)
    assert tasks[0].draw(0) is first
    assert tasks[1].draw(0) is not second


def test_without_resampling_all_seeds_share_one_draw() -> None:
    task = Task({"base": "digits_noise", "resample": False})
    assert task.draw(0) == task.draw(7) == (task.train, task.validation)


def test_only_training_labels_are_noisy(task: Task) -> None:
    arrays = load("digits")
    truth = {image.tobytes(): label for image, label in zip(arrays.images, arrays.labels.tolist(), strict=True)}
    with task.open_test(by="tests") as test:
        splits = [task.train, task.validation, ImageSplit(test.images, test.labels)]
    wrong = [
        np.mean([truth[row] != label for row, label in zip(_rows(task, s), s.labels.tolist(), strict=True)])
        for s in splits
    ]
    assert wrong == [0.4, 0.0, 0.0]
    assert task.statistics().noise_rate == 0.4


def test_validation_and_test_do_not_depend_on_what_is_done_to_train(task: Task) -> None:
    other = Task({"base": "digits", "train_size": 500, "imbalance": 5.0, "batch_size": 50})
    assert _rows(other, other.validation) == _rows(task, task.validation)
    assert torch.equal(other.validation.labels, task.validation.labels)
    with task.open_test(by="tests") as a, other.open_test(by="tests") as b:
        assert _rows(task, ImageSplit(a.images, a.labels)) == _rows(other, ImageSplit(b.images, b.labels))


def test_the_same_configuration_gives_the_same_data_and_another_split_seed_other_data(task: Task) -> None:
    again = Task("digits_noise")
    other = Task({"base": "digits_noise", "split_seed": 1})
    assert torch.equal(again.train.images, task.train.images)
    assert torch.equal(again.train.labels, task.train.labels)
    assert not torch.equal(other.train.labels, task.train.labels)
    assert not torch.equal(other.validation.images, task.validation.images)


def test_statistics_are_those_of_the_training_split() -> None:
    task = Task("digits_imbalance")
    statistics = task.statistics()
    counts = torch.bincount(task.train.labels, minlength=10)
    assert statistics.train_size == len(task.train) == int(counts.sum())
    assert statistics.class_frequencies == pytest.approx((counts / counts.sum()).tolist())
    assert counts[0] / counts[-1] == pytest.approx(20, rel=0.1)
    assert task.train.images.mean().item() == pytest.approx(0, abs=1e-5)
    assert task.train.images.std().item() == pytest.approx(1, abs=1e-3)


def test_imbalance_that_leaves_less_than_a_batch_is_refused() -> None:
    with pytest.raises(UserError, match="one batch of 100"):
        Task({"base": "digits_imbalance", "train_size": 150, "imbalance": 100.0})


def test_every_opening_is_recorded_with_who_opened(task: Task) -> None:
    before = len(openings())
    with task.open_test(by="compare"):
        pass
    assert [(o.task, o.by) for o in openings()[before:]] == [("digits_noise", "compare")]
    with pytest.raises(UserError, match="name of who opens"), task.open_test(by=""):
        pass
    assert len(openings()) == before + 1


def test_a_closed_test_split_holds_nothing(task: Task) -> None:
    with task.open_test(by="tests") as test:
        assert len(test) == 497
    for read in (lambda: test.images, lambda: test.labels, lambda: len(test)):
        with pytest.raises(UserError, match="closed"):
            read()


def _reachable_tensors(start: object) -> list[torch.Tensor | np.ndarray]:
    """Every array that can be reached from an object through references, modules and classes left out."""
    seen, queue, found = {id(start)}, [start], []
    while queue:
        current = queue.pop()
        if isinstance(current, torch.Tensor | np.ndarray):
            found.append(current)
        for child in gc.get_referents(current):
            if id(child) not in seen and not isinstance(child, type | type(sys)) and not callable(child):
                seen.add(id(child))
                queue.append(child)
    return found


def test_no_test_image_can_be_reached_from_a_task(task: Task) -> None:
    with task.open_test(by="tests") as test:
        forbidden = {image.numpy().tobytes() for image in test.images}
    arrays = _reachable_tensors(task)
    assert any(len(array) == 800 for array in arrays if array.ndim)  # the walk does find the training images
    for array in arrays:
        if array.ndim == 4:
            assert forbidden.isdisjoint(np.asarray(image).tobytes() for image in array)
    assert not any(image in pickle.dumps(task) for image in forbidden)


_SEALED = """
import sys
from lossearch.errors import UserError
from lossearch.tasks import Task, TestSplitSealed, forbid_test_split, openings
from lossearch.tasks.datasets.data import load
forbid_test_split("a test says so")
task = Task("digits_noise")
assert issubclass(TestSplitSealed, UserError)
def opens():
    with task.open_test(by="compare"):
        pass
for attempt in (opens, lambda: load("fashion_mnist", "test")):
    try:
        attempt()
    except TestSplitSealed as error:
        assert "a test says so" in str(error), error
    else:
        sys.exit("the seal is broken")
assert openings() == ()
print("sealed", len(task.validation))
"""


def test_a_sealed_process_cannot_open_a_test_split() -> None:
    done = subprocess.run([sys.executable, "-c", _SEALED], capture_output=True, text=True, check=False)
    assert (done.stdout.strip(), done.returncode) == ("sealed 500", 0), done.stderr


def test_building_and_searching_reads_no_test_data(monkeypatch: pytest.MonkeyPatch) -> None:
    from lossearch.tasks.classification import task as module

    parts: list[str] = []

    def spy(name: str, part: str = "train") -> object:
        parts.append(part)
        raise UserError("data", "a spy", "stop here")

    monkeypatch.setattr(module, "load", spy)
    with pytest.raises(UserError, match="a spy"):
        Task("fashion_noise")
    assert parts == ["train"]
