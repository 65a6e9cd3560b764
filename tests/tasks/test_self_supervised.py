"""Self-supervised tasks: conformance, views, batches without two of one image, classifiers against scikit-learn."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from representative import first_of
from sklearn.linear_model import Ridge
from sklearn.neighbors import KNeighborsClassifier
from torch import Tensor

from lossearch.errors import UserError
from lossearch.tasks import build_task, task_config
from lossearch.tasks.described import Split
from lossearch.tasks.self_supervised.metrics import METRICS, NEIGHBOURS, RIDGE, TEMPERATURE, Features
from lossearch.tasks.self_supervised.views import NUMBERS, Distortion, drawn, view
from lossearch.testing import check_task
from lossearch.training.stacked_models import DataOrder

SMALL: dict[str, Any] = {
    "base": "digits_views",
    "channels": [8],
    "features": 16,
    "projection": 8,
    "train_size": 128,
    "val_size": 150,
    "test_size": 160,
    "probe_size": 60,
    "copies": 2,
    "batch_size": 64,
    "steps": 60,
}


@pytest.mark.parametrize(
    "changes",
    first_of([{}, {"given": "positives", "resample": False, "metric": "probe_accuracy", "shrink": 2}]),
    ids=["views", "positives"],
)
def test_the_family_conforms(changes: dict[str, Any]) -> None:
    check_task(build_task({**SMALL, **changes}), 40)


def test_the_first_held_out_images_are_labelled_ones_of_every_class() -> None:
    task = build_task(SMALL)
    with task.open_test(by="test") as split:
        test = Split(split.tensors)
    train, validation = task.draw(1)
    assert [len(split) for split in (train, validation, test)] == [256, 150, 160]
    for split in (validation, test):
        counts = torch.bincount(split["labels"][:60], minlength=10)
        assert counts.min() >= 5
        assert counts.max() <= 7
    assert not torch.equal(task.draw(2)[1]["images"], validation["images"])
    fixed = build_task(SMALL | {"resample": False})
    assert fixed.draw(1)[0] is fixed.draw(2)[0]


def test_every_copy_of_a_training_image_has_views_of_its_own_and_no_batch_has_two() -> None:
    task = build_task(SMALL)
    train = task.draw(1)[0]
    assert torch.equal(train["images"][:128], train["images"][128:])
    numbers = train["numbers"].reshape(-1, NUMBERS)
    assert len(numbers.unique(dim=0)) == 256 * 2
    order = DataOrder(task.order, [1], len(train), 64)
    for step in range(8):
        assert len((order.batch(step)[0] % 128).unique()) == 64


def _seen(images: Tensor, distortion: Distortion, **numbers: float) -> Tensor:
    places = {"turn": 0, "zoom": 1, "right": 2, "down": 3, "contrast": 4, "row": 5, "column": 6}
    row = torch.zeros(len(images), NUMBERS)
    for name, value in numbers.items():
        row[:, places[name]] = value
    return view(images, row, distortion)


def _same(found: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_views_turn_zoom_move_stretch_and_hide() -> None:
    draw = torch.Generator().manual_seed(0)
    images = torch.rand(3, 2, 8, 8, generator=draw)
    everything = Distortion(turn=90.0, zoom=np.log(2.0), shift=0.25, contrast=1.0)
    _same(_seen(images, everything), images)
    _same(_seen(images, everything, turn=1.0), images.rot90(1, (2, 3)))
    _same(_seen(images, everything, turn=-1.0), images.rot90(-1, (2, 3)))
    moved = _seen(images, everything, right=1.0)
    _same(moved[..., :6], images[..., 2:])
    _same(moved[..., 6:], images[..., 7:].expand(-1, -1, -1, 2))
    _same(_seen(images, everything, down=-1.0)[..., 2:, :], images[..., :6, :])
    large = _seen(torch.linspace(-1, 1, 8).expand(1, 1, 8, 8), everything, zoom=1.0)
    _same(large[0, 0, 0], torch.linspace(-0.5, 0.5, 8))
    _same(_seen(images, everything, contrast=-1.0), images * np.exp(-1.0))
    hidden = _seen(images, Distortion(hidden=0.5), row=-1.0, column=0.0)
    expected = images.clone()
    expected[..., :2, 2:6] = 0.0  # half of the square lies outside
    _same(hidden, expected)


def test_views_of_a_stack_are_those_of_each_run() -> None:
    images = torch.rand(2, 5, 1, 6, 6, generator=torch.Generator().manual_seed(0))
    numbers = torch.stack([drawn(5, np.random.default_rng(seed)) for seed in (0, 1)])
    distortion = Distortion(20.0, 0.2, 0.1, 0.3, 0.3)
    first, second = (view(images, numbers[..., k, :], distortion) for k in (0, 1))
    assert (first - second).abs().max() > 0.1
    _same(first[1], view(images[1], numbers[1, :, 0], distortion))


def _features(classes: int = 4) -> Features:
    draw = torch.Generator().manual_seed(0)
    labels = torch.randint(classes, (2, 90), generator=draw)
    centres = torch.randn(classes, 6, generator=draw)
    values = centres[labels] + torch.randn(2, 90, 6, generator=draw)
    return Features(values[:, :50], labels[:, :50], values[:, 50:], labels[:, 50:], classes)


def test_the_linear_probe_agrees_with_scikit_learn() -> None:
    given = _features()
    found = METRICS["probe_accuracy"].function(given)
    for run in range(2):
        known, others = (x[run].double().numpy() for x in (given.fitted, given.judged))
        mean, deviation = known.mean(0), known.std(0)
        model = Ridge(alpha=RIDGE * len(known)).fit((known - mean) / deviation, np.eye(4)[given.fitted_labels[run]])
        guess = model.predict((others - mean) / deviation).argmax(1)
        assert float(found[run]) == pytest.approx((guess == given.judged_labels[run].numpy()).mean())


def test_the_vote_of_neighbours_agrees_with_scikit_learn() -> None:
    given = _features()
    found = METRICS["neighbour_accuracy"].function(given)
    for run in range(2):
        weights: Any = lambda distance: np.exp((1 - distance) / TEMPERATURE)  # noqa: E731
        vote = KNeighborsClassifier(NEIGHBOURS, metric="cosine", weights=weights)
        vote.fit(given.fitted[run].numpy(), given.fitted_labels[run].numpy())
        expected = vote.score(given.judged[run].numpy(), given.judged_labels[run].numpy())
        assert float(found[run]) == pytest.approx(expected)


def test_features_that_collapsed_tell_nothing_and_few_labelled_ones_suffice() -> None:
    given = _features()
    flat = Features(given.fitted * 0, given.fitted_labels, given.judged * 0, given.judged_labels, 4)
    few = Features(given.fitted[:, :3], given.fitted_labels[:, :3], given.judged, given.judged_labels, 4)
    for metric in METRICS.values():
        assert float(metric.function(flat).max()) <= 0.5
        assert bool(metric.function(few).isfinite().all())


def test_a_task_tells_its_sizes() -> None:
    told = "128 training images without labels, judged by 90 others with 60 labelled ones, losses of views"
    assert told in build_task(SMALL).describe()


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"train_size": 1500}, "more than the 1797"),
        ({"test_size": None}, "test_size is required"),
        ({"probe_size": 150}, "probe_size 150 leaves none of 150 images"),
        ({"train_size": 100}, "must be a multiple of batch_size, 64"),
        ({"batch_size": 256}, "batch_size 256 exceeds train_size 128"),
        ({"shrink": 9}, "shrink 9 exceeds a side"),
        ({"dataset": "co2"}, "must be one of digits"),
        ({"metric": "accuracy"}, "must be one of probe_accuracy"),
        ({"flip": True}, "flip"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        task_config({**SMALL, **changes})
