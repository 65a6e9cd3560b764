from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torchmetrics.functional import accuracy, jaccard_index, recall
from torchmetrics.functional.classification import multiclass_calibration_error

from lossearch.errors import UserError
from lossearch.tasks.metrics import metric, metrics

SHAPES = [(), (7,), (5, 6)]


def _sample(space: tuple[int, ...], classes: int = 4) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(0)
    logits = torch.randn(3, 40, classes, *space, generator=generator)
    return logits, torch.randint(classes, (40, *space), generator=generator)


@pytest.mark.parametrize("space", SHAPES)
def test_accuracy_equals_torchmetrics(space: tuple[int, ...]) -> None:
    logits, target = _sample(space)
    expected = [accuracy(x, target, "multiclass", num_classes=4, average="micro") for x in logits]
    torch.testing.assert_close(metric("accuracy")(logits, target), torch.stack(expected))


@pytest.mark.parametrize("space", SHAPES)
def test_balanced_accuracy_equals_torchmetrics(space: tuple[int, ...]) -> None:
    logits, target = _sample(space)
    expected = [accuracy(x, target, "multiclass", num_classes=4, average="macro") for x in logits]
    torch.testing.assert_close(metric("balanced_accuracy")(logits, target), torch.stack(expected))


@pytest.mark.parametrize("space", SHAPES)
def test_mean_iou_equals_torchmetrics(space: tuple[int, ...]) -> None:
    logits, target = _sample(space)
    expected = [jaccard_index(x.argmax(1), target, "multiclass", num_classes=4) for x in logits]
    torch.testing.assert_close(metric("mean_iou")(logits, target), torch.stack(expected))


@pytest.mark.parametrize("space", SHAPES)
def test_worst_class_recall_equals_torchmetrics(space: tuple[int, ...]) -> None:
    logits, target = _sample(space)
    expected = [recall(x, target, "multiclass", num_classes=4, average="none").min() for x in logits]
    torch.testing.assert_close(metric("worst_class_recall")(logits, target), torch.stack(expected))


@pytest.mark.parametrize("space", SHAPES)
def test_calibration_error_equals_torchmetrics(space: tuple[int, ...]) -> None:
    logits, target = _sample(space)
    expected = [multiclass_calibration_error(x, target, num_classes=4, n_bins=15) for x in logits]
    torch.testing.assert_close(metric("calibration_error")(logits, target), torch.stack(expected))


def test_certain_predictions_are_in_the_last_bin() -> None:
    certain = 1e4 * torch.eye(2)[torch.tensor([[0, 0, 1, 1]])]
    assert metric("calibration_error")(certain, torch.tensor([0, 0, 1, 0])).tolist() == [0.25]


@pytest.mark.parametrize("space", SHAPES)
def test_negative_log_likelihood_equals_cross_entropy(space: tuple[int, ...]) -> None:
    logits, target = _sample(space)
    expected = torch.stack([F.cross_entropy(x, target) for x in logits])
    torch.testing.assert_close(metric("negative_log_likelihood")(logits, target), expected)


@pytest.mark.parametrize("space", SHAPES)
@pytest.mark.parametrize("name", list(metrics()))
def test_every_run_may_have_a_target_of_its_own(name: str, space: tuple[int, ...]) -> None:
    logits, target = _sample(space)
    targets = torch.stack([target, target.roll(1, 0), (target + 1) % 4])
    expected = [metric(name)(x.unsqueeze(0), y) for x, y in zip(logits, targets, strict=True)]
    torch.testing.assert_close(metric(name)(logits, targets), torch.cat(expected))


def test_means_over_classes_ignore_absent_classes() -> None:
    # Class 2 occurs nowhere; class 1 is missed once of twice.
    logits = torch.eye(3)[torch.tensor([[0, 0, 1]])]
    target = torch.tensor([0, 1, 1])
    assert metric("balanced_accuracy")(logits, target).tolist() == [0.75]
    assert metric("mean_iou")(logits, target).tolist() == [0.5]


@pytest.mark.parametrize("name", list(metrics()))
def test_a_metric_knows_its_direction_and_its_bounds(name: str) -> None:
    target = torch.arange(4).repeat(5)
    right = 20.0 * F.one_hot(target, 4)
    values = metric(name)(torch.stack([right, -right]), target).tolist()
    assert metric(name).is_better(values[0], values[1])
    assert not metric(name).is_better(values[1], values[1])
    assert all(metric(name).lower <= value <= metric(name).upper for value in values)


def test_an_unknown_metric_is_refused_by_name() -> None:
    with pytest.raises(UserError, match=r"a metric; found: 'acuracy'; did you mean accuracy"):
        metric("acuracy")
