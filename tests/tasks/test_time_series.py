"""Forecasting: conformance, parts that share no step, spikes in training alone, metrics against float64 formulas."""

from __future__ import annotations

import dataclasses
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from scipy.stats import norm
from sklearn import metrics as oracle
from tasks import tables

from lossearch.errors import UserError
from lossearch.tasks import build_task, task_config
from lossearch.tasks.described import Split
from lossearch.tasks.time_series.metrics import LEVELS, METRICS, Forecast, measured, metrics_of
from lossearch.tasks.time_series.series import SERIES
from lossearch.testing import check_task

LONG: dict[str, Any] = {
    "family": "time_series",
    "dataset": "co2",
    "window": 6,
    "horizon": 3,
    "hidden": [16],
    "optimizer": "adam",
    "learning_rate": 0.01,
    "batch_size": 20,
    "steps": 60,
}
MANY = LONG | {"dataset": "italy_power", "window": 8, "horizon": 4}
STEPS, DAYS, HOURS = 200, 50, 12


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with a long wave in the place of co2, and short waves in the place of days."""
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    draw = np.random.default_rng(0)
    _long(tmp_path, monkeypatch, np.sin(np.arange(STEPS) / 3) + 0.1 * draw.normal(size=STEPS))
    waves = np.sin(np.arange(HOURS) / 2 + draw.uniform(0, 6, (DAYS, 1))) + 0.1 * draw.normal(size=(DAYS, HOURS))
    _many(tmp_path, monkeypatch, waves)
    return tmp_path


def _long(folder: Path, monkeypatch: pytest.MonkeyPatch, values: np.ndarray) -> None:
    lines = ['"","time","co2"', *(f"{k},{1959 + k / 12},{value!r}" for k, value in enumerate(values.tolist()))]
    _put(folder, monkeypatch, "co2", {"co2.csv": "\n".join(lines).encode()}, len(values))
    monkeypatch.setitem(SERIES, "co2", dataclasses.replace(SERIES["co2"], steps=len(values)))


def _many(folder: Path, monkeypatch: pytest.MonkeyPatch, values: np.ndarray) -> None:
    count, steps = values.shape
    lines = ["@data", *(",".join(map(repr, row.tolist())) + ":1" for row in values)]
    _put(folder, monkeypatch, "italy_power", {"A_TRAIN.ts": "\n".join(lines).encode()}, count)
    columns = tuple(map(str, range(steps)))
    changed = dataclasses.replace(SERIES["italy_power"], columns=columns, count=count, steps=steps)
    monkeypatch.setitem(SERIES, "italy_power", changed)


def _put(folder: Path, monkeypatch: pytest.MonkeyPatch, name: str, files: dict[str, bytes], rows: int) -> None:
    tables.register(monkeypatch, name, files, rows)
    if not (folder / name).exists():
        (folder / name).mkdir()
    for file, content in files.items():
        (folder / name / file).write_bytes(content)


def _test_split(values: dict[str, Any]) -> Split:
    with build_task(values).open_test(by="test") as split:
        return Split(split.tensors)


@pytest.mark.parametrize(
    "values", [LONG, LONG | {"forecast": "normal"}, MANY | {"spikes": 0.1}], ids=["point", "normal", "many"]
)
def test_the_family_conforms(values: dict[str, Any]) -> None:
    check_task(build_task(values), 60)


def _spans(split: Split) -> np.ndarray:
    """Windows with what follows them, from their first step on: `[window, step]`."""
    spans = torch.cat([split["past"], split["future"]], 1).double().numpy()
    return spans - spans[:, :1]


def test_parts_of_one_series_follow_each_other_and_share_no_step(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Squares of the steps: the rise within a window tells where it lies."""
    _long(folder, monkeypatch, np.arange(100.0) ** 2)
    task = build_task(LONG)
    deviation = (np.arange(60.0) ** 2).std()
    found: dict[str, list[int]] = {}
    for name, split in (*zip(("train", "validation"), task.draw(0), strict=True), ("test", _test_split(LONG))):
        rise = _spans(split)[:, 1] * deviation  # (k + 1)^2 - k^2
        found[name] = [round((value - 1) / 2) for value in rise]
    assert found["train"] == list(range(60 - 9 + 1))
    assert found["validation"] == list(range(60, 80 - 9 + 1))
    assert found["test"] == list(range(80, 100 - 9 + 1))


def test_each_of_many_series_is_in_one_part(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    _many(folder, monkeypatch, np.outer(np.arange(1.0, DAYS + 1), np.arange(HOURS)))
    task = build_task(MANY)

    def days(split: Split) -> set[float]:
        return {round(float(value), 4) for value in _spans(split)[:, 1]}

    test = days(_test_split(MANY))
    assert len(test) == 10
    drawn = [tuple(days(split) for split in task.draw(seed)) for seed in (1, 2)]
    for train, validation in drawn:
        assert (len(train), len(validation)) == (30, 10)
        assert not train & validation
        assert not (train | validation) & test
    assert drawn[0] != drawn[1]
    fixed = build_task(MANY | {"resample": False})
    assert fixed.draw(1)[0] is fixed.draw(2)[0]


def test_spikes_are_in_training_values_alone() -> None:
    clean, dirty = (build_task(LONG | {"spikes": share, "spike_size": 7.0}) for share in (0.0, 0.1))
    (train, validation), (other, other_validation) = clean.draw(1), dirty.draw(1)
    assert torch.equal(validation["past"], other_validation["past"])
    assert torch.equal(_test_split(LONG)["past"], _test_split(LONG | {"spikes": 0.1})["past"])
    # Differences between steps that follow each other, from which the mean that is taken off is gone.
    rise = np.diff(_spans(other) - _spans(train), axis=1)
    assert set(np.abs(rise).round(3).ravel()) == {0.0, 7.0}
    first = np.diff(rise[:, 0], prepend=0)
    assert 0 < (np.abs(first) > 1).mean() < 0.5
    assert not torch.equal(dirty.draw(2)[0]["past"], other["past"])


def test_values_are_in_standard_deviations_of_the_training_part_and_windows_have_no_mean() -> None:
    task = build_task(LONG)
    train, _ = task.draw(0)
    assert train["past"].mean(1).abs().max() < 1e-5
    values = np.array(SERIES["co2"].read()[0, :120])
    expected = (values[:9] - values[:6].mean()) / values.std()
    found = torch.cat([train["past"], train["future"]], 1)[0]
    assert found.numpy() == pytest.approx(expected, abs=1e-5)


def test_errors_are_scaled_by_the_seasonal_naive_error_of_the_clean_training_part() -> None:
    task = build_task(LONG | {"spikes": 0.2})
    values = SERIES["co2"].read()[0, :120]
    naive = np.abs(values[12:] - values[:-12]).mean() / values.std()
    zero, one = torch.zeros(2, 3), torch.ones(2, 3)
    found = task.judge("loss", {"prediction": zero, "target": one})
    assert found is not None
    assert float(found) == pytest.approx(1 / naive)


def _sample(*shape: int) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor]:
    draw = torch.Generator().manual_seed(0)
    mean, target, spread = torch.randn(3, *shape, generator=draw, dtype=torch.float64)
    return mean, target, spread.exp()


def test_metrics_of_point_forecasts_agree_with_scikit_learn() -> None:
    mean, target, _ = _sample(2, 5, 4)
    forecast = Forecast(mean, target, 0.7, level=0.9)
    assert list(metrics_of("point")) == ["mase", "rmse", "pinball"]
    for run in range(2):
        true, given = target[run].flatten(), mean[run].flatten()
        expected = {
            "mase": oracle.mean_absolute_error(true, given) / 0.7,
            "rmse": oracle.root_mean_squared_error(true, given),
            "pinball": oracle.mean_pinball_loss(true, given, alpha=0.9),
        }
        for name, value in expected.items():
            assert float(measured(name, forecast)[run]) == pytest.approx(value, rel=1e-12)


def test_metrics_of_normal_forecasts_look_at_quantiles() -> None:
    mean, target, variance = _sample(2, 50, 4)
    forecast = Forecast(mean, target, 1.0, variance=variance)
    assert list(metrics_of("normal")) == list(METRICS)
    for run in range(2):
        known = norm(mean[run].numpy(), np.sqrt(variance[run].numpy()))
        true = target[run].numpy()
        losses = [oracle.mean_pinball_loss(true.ravel(), known.ppf(q).ravel(), alpha=q) for q in LEVELS]
        assert float(measured("pinball", forecast)[run]) == pytest.approx(np.mean(losses), rel=1e-9)
        held = (known.cdf(true) >= 0.1) & (known.cdf(true) <= 0.9)
        assert float(measured("coverage_error", forecast)[run]) == pytest.approx(abs(held.mean() - 0.8))


def test_a_forecast_of_the_truth_has_no_error() -> None:
    mean, _, variance = _sample(3, 2)
    for name in ("mase", "rmse", "pinball"):
        assert float(measured(name, Forecast(mean, mean, 0.5, level=0.9))) == 0.0
    assert float(measured("coverage_error", Forecast(mean, mean, 0.5, variance=variance))) == pytest.approx(0.2)


def test_missing_series_name_the_command(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSEARCH_DATA", str(folder / "elsewhere"))
    assert not task_config(LONG).is_available()
    with pytest.raises(UserError, match="lossearch data fetch co2"):
        build_task(LONG)


@pytest.mark.parametrize(
    ("changes", "told"),
    [
        ({"window": 38}, "the 40 steps for validation hold no window of 41 steps"),
        ({"test_share": 0.7, "val_share": 0.3}, "the 0 steps for training hold no window"),
        ({"dataset": "italy_power", "window": 10}, "the 30 series of 12 steps for training hold no window of 13"),
        ({"dataset": "diamonds"}, "must be one of sunspots, co2"),
        ({"metric": "coverage_error"}, "must be one of mase, rmse, pinball"),
        ({"batch_size": 113}, "batch_size 113 exceeds train_size 112"),
        ({"spikes": 1.0}, "spikes"),
        ({"level": 0.0}, "level"),
        ({"lags": 3}, "lags"),
    ],
)
def test_configurations_that_do_not_fit_are_refused(changes: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        task_config({**LONG, **changes})
