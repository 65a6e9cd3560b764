"""Regression on a table: conformance, outliers in training targets alone, metrics against scikit-learn."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from sklearn import metrics as oracle

from lossearch.errors import UserError
from lossearch.tasks import build_task, task_config
from lossearch.tasks.regression.metrics import METRICS
from lossearch.tasks.regression.task import RegressionTask
from lossearch.testing import check_task


@pytest.mark.parametrize("name", ["diabetes", "diabetes_outliers"])
def test_tasks_conform(name: str) -> None:
    check_task(build_task(name), 150)


def test_outliers_are_in_training_targets_alone() -> None:
    clean, dirty = (
        RegressionTask({"base": "diabetes", "outliers": share, "outlier_size": 7.0}) for share in (0.0, 0.2)
    )
    for seed in (0, 1):
        (train, validation), (other_train, other_validation) = clean.draw(seed), dirty.draw(seed)
        assert torch.equal(train["features"], other_train["features"])
        assert torch.equal(validation["target"], other_validation["target"])
        difference = other_train["target"] - train["target"]
        assert int((difference != 0).sum()) == 40
        assert difference[difference != 0].numpy() == pytest.approx(7.0, abs=1e-4)
    with clean.open_test(by="test") as test, dirty.open_test(by="test") as other:
        assert torch.equal(test["target"], other["target"])


def test_features_and_targets_are_standardised_by_the_clean_training_rows() -> None:
    train, _ = RegressionTask({"base": "diabetes", "resample": False}).draw(0)
    assert train["features"].mean(0).numpy() == pytest.approx(np.zeros(10), abs=1e-5)
    assert train["features"].std(0, correction=0).numpy() == pytest.approx(np.ones(10), abs=1e-5)
    assert float(train["target"].std(correction=0)) == pytest.approx(1.0, abs=1e-5)


def test_metrics_agree_with_scikit_learn() -> None:
    draw = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, 3, 40, generator=draw, dtype=torch.float64)
    wanted = {
        "mae": oracle.mean_absolute_error,
        "rmse": oracle.root_mean_squared_error,
        "r2": oracle.r2_score,
    }
    assert wanted.keys() == METRICS.keys()
    for name, metric in METRICS.items():
        found = metric(prediction, target)
        for k in range(3):
            assert float(found[k]) == pytest.approx(wanted[name](target[k], prediction[k]))


def test_equal_targets_have_a_defined_coefficient() -> None:
    same = torch.ones(1, 4)
    assert METRICS["r2"](same, same).tolist() == [1.0]
    assert METRICS["r2"](same + 1.0, same).tolist() == [0.0]


@pytest.mark.parametrize(
    ("values", "told"),
    [
        ({"base": "diabetes", "metric": "accuracy"}, "must be one of mae, rmse, r2"),
        ({"base": "diabetes", "train_size": 400}, "more than the 442 of the table"),
        ({"base": "diabetes", "batch_size": 300}, "batch_size 300 exceeds train_size 200"),
        ({"base": "diabetes", "outlier": 0.1}, "did you mean 'outliers'"),
        ({"family": "regresion", "steps": 3}, "did you mean regression"),
        ({"base": "diabetes", "losses": {"box": "giou"}, "slot": "los"}, "slot"),
    ],
)
def test_what_does_not_fit_is_told(values: dict[str, object], told: str) -> None:
    with pytest.raises(UserError, match=told):
        _ = build_task(values).other_losses


def test_a_configuration_survives_json() -> None:
    config = task_config({"base": "diabetes_outliers", "hidden": [8, 4]})
    assert type(config).model_validate_json(config.model_dump_json()) == config
