"""Regression on a table: conformance, outliers in training targets alone, metrics against scikit-learn."""

from __future__ import annotations

import dataclasses
import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from representative import first_of
from sklearn import metrics as oracle
from tasks import tables

from lossearch.errors import UserError
from lossearch.tasks import build_task, task_config
from lossearch.tasks.regression.metrics import METRICS
from lossearch.tasks.regression.splitting import cut, groups_of, in_drawn_order
from lossearch.tasks.regression.tables import TABLES
from lossearch.tasks.regression.task import RegressionTask
from lossearch.testing import check_task

SMALL = {"train_size": 120, "val_size": 60, "test_size": 60, "batch_size": 20, "steps": 100}
RESIDENTS = 420
VISITORS = 300


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A data folder with made-up diamonds, each of them twice, and people who were asked in two years."""
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    draw = np.random.default_rng(0)
    diamonds = ['"carat","cut","color","clarity","depth","table","price","x","y","z"']
    for k in range(200):
        carat = 0.2 + 0.01 * k
        row = f'{carat},"{("Fair", "Ideal")[k % 2]}","{"JD"[k % 2]}","IF",61,55,{carat * 4000 + 10 * (k % 7)},4,4,2'
        diamonds += [row, row]
    visits = ['"id","docvis","year","age","female","married","kids","hhninc","educ","outwork","self"']
    for person, year in itertools.product(range(VISITORS), (1984, 1985)):
        age = 25 + person % 40 + (year - 1984)
        visits.append(f"{person},{draw.poisson(age / 10)},{year},{age},{person % 2},1,0,{3 + person / 1000},11,0,0")
    computers = ['"","price","speed","hd","ram","screen","cd","multi","premium","ads","trend"']
    for k in range(300):
        wares = f'{33 + k % 70},{80 + k},{2 + k % 8},{14 + k % 3},"no","no","{("no", "yes")[k % 2]}",94,{1 + k // 10}'
        computers.append(f'"{k}",{1500 + 3 * k % 400 + 100 * (k % 2)},{wares}')
    residents = ['"","age","sex","sample.yr","kappa","lambda","creatinine","mgus","futime","death"']
    for person in range(RESIDENTS):
        age, sex, missing = draw.integers(50, 95), "FM"[person % 2], person % 5 == 0
        days = 0 if person == 3 else int(draw.exponential(5000 * 0.85 ** (age - 50))) + 1
        creatinine = "NA" if missing else 1.0
        residents.append(
            f"{person},{age},{sex},1996,{1 + person / 1000},1.2,{creatinine},0,{days},{int(person % 3 > 0)}"
        )
    written = (
        ("diamonds", "diamonds.csv", diamonds),
        ("computers", "Computers.csv", computers),
        ("doctor_visits", "rwm5yr.csv", visits),
        ("residents", "flchain.csv", residents),
    )
    for name, file, lines in written:
        files = {file: "\n".join(lines).encode()}
        tables.register(monkeypatch, name, files, len(lines) - 1)
        tables.write(tmp_path / name, files)
    monkeypatch.setitem(TABLES, "diamonds", dataclasses.replace(TABLES["diamonds"], rows=400))
    monkeypatch.setitem(TABLES, "computers", dataclasses.replace(TABLES["computers"], rows=300))
    monkeypatch.setitem(TABLES, "doctor_visits", dataclasses.replace(TABLES["doctor_visits"], rows=VISITORS))
    monkeypatch.setitem(TABLES, "residents", dataclasses.replace(TABLES["residents"], rows=RESIDENTS))
    return tmp_path


@pytest.mark.parametrize("name", first_of(["diabetes_outliers", "diabetes"]))
def test_tasks_conform(name: str) -> None:
    check_task(build_task(name), 150)


@pytest.mark.parametrize(
    "name", ["diamonds", "computers_outliers", "doctor_visits", "doctor_visits_outliers", "residents_wrong_times"]
)
def test_tasks_on_tables_of_packages_conform(folder: Path, name: str) -> None:
    check_task(build_task({"base": name, **SMALL}), 100)


def test_a_missing_table_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOSSEARCH_DATA", str(tmp_path))
    assert not task_config("diamonds").is_available()
    assert task_config("diabetes").is_available()
    with pytest.raises(UserError, match="lossearch data fetch diamonds"):
        build_task("diamonds")


def test_grades_rise_and_each_person_comes_once(folder: Path) -> None:
    features, prices = TABLES["diamonds"].read()
    assert features[:4, 1].tolist() == [0.0, 0.0, 4.0, 4.0]  # from Fair to Ideal
    assert features[:4, 2].tolist() == [0.0, 0.0, 6.0, 6.0]  # from J to D
    assert prices[0] == pytest.approx(800.0)
    features, prices = TABLES["computers"].read()
    assert features[:2, 6].tolist() == [0.0, 1.0]  # premium
    assert prices[1] == 1603.0
    features, visits = TABLES["doctor_visits"].read()
    assert set(features[:, 0]) == {1984.0}
    assert len(visits) == VISITORS


def test_equal_rows_are_in_one_split() -> None:
    draw = np.random.default_rng(0)
    features = draw.integers(3, size=(200, 3)).astype(float)
    groups = groups_of(features)
    assert groups[0] == 0
    assert all((groups == groups[k]).tolist() == (features == features[k]).all(1).tolist() for k in range(50))
    order = in_drawn_order(np.arange(200), groups, np.random.default_rng(1))
    assert sorted(order) == list(range(200))
    taken, rest = cut(order, groups, 70)
    assert len(taken) == 70
    assert not set(groups[taken]) & set(groups[rest])
    assert len(rest) > 100  # at most the rest of one group is left out
    with pytest.raises(UserError, match="201 rows"):
        cut(order, groups, 201)


def test_rows_without_equals_are_drawn_like_any() -> None:
    """The draws of a table without equal rows, such as diabetes, do not depend on groups."""
    groups = groups_of(np.random.default_rng(0).normal(size=(50, 2)))
    order = in_drawn_order(np.arange(10, 50), groups, np.random.default_rng(1))
    assert order.tolist() == (10 + np.random.default_rng(1).permutation(40)).tolist()


def test_wrong_counts_are_counts(folder: Path) -> None:
    values = {"base": "doctor_visits", **SMALL}
    (train, _), (high, _), (low, _) = (
        RegressionTask({**values, "outliers": 0.25, "outlier_size": size}).draw(0) for size in (0.0, 5.0, -5.0)
    )
    moved = (high["target"] - train["target"]).numpy()
    assert (moved != 0).sum() == 30
    assert len(set(moved[moved != 0])) == 1
    assert (moved == moved.round()).all()
    assert low["target"].min() == 0.0
    assert torch.equal(low["target"] == 0, (train["target"] == 0) | torch.from_numpy(moved != 0))


def test_counts_are_judged_by_their_means(folder: Path) -> None:
    task = build_task({"base": "doctor_visits", **SMALL})
    assert list(task.metrics) == ["poisson_deviance", "mae", "rmse"]
    assert task.slots["loss"].signature == "regression_counts"
    log_mean, target = torch.randn(20).double(), torch.arange(20.0).double()
    found = task.judge("loss", {"log_mean": log_mean, "target": target})
    assert found is not None
    assert float(found) == pytest.approx(oracle.mean_poisson_deviance(target, log_mean.exp()))


def test_wrong_times_are_those_of_other_rows(folder: Path) -> None:
    values = {"base": "residents", **SMALL}
    (train, validation), (wrong, other_validation) = (
        RegressionTask({**values, "outliers": share}).draw(0) for share in (0.0, 0.25)
    )
    moved = train["time"] != wrong["time"]
    assert 25 <= int(moved.sum()) <= 30  # of 30, some of which have equal times
    assert torch.equal(train["time"].sort().values, wrong["time"].sort().values)
    assert torch.equal(train["event"].sort().values, wrong["event"].sort().values)
    assert torch.equal(validation["time"], other_validation["time"])
    features, years, deaths = TABLES["residents"].read()
    assert years[3] == pytest.approx(0.5 / 365.25)
    assert set(deaths) == {0.0, 1.0}
    assert (features[::5, -1] == 0.0).all()
    assert (features[:, -2] == 1.0).all()


def test_times_are_judged_by_their_order() -> None:
    draw = torch.Generator().manual_seed(0)
    log_risk = torch.randn(3, 300, generator=draw).round(decimals=1)  # some are equal
    time, event = (
        torch.rand(3, 300, generator=draw).round(decimals=2),
        (torch.rand(3, 300, generator=draw) < 0.4).float(),
    )
    found, area = METRICS["concordance"](log_risk, time, event), METRICS["median_auc"](log_risk, time, event)
    for k in range(3):
        r, t, e = log_risk[k], time[k], event[k]
        pairs = [(i, j) for i in range(300) for j in range(300) if e[i] and t[i] < t[j]]
        right = sum(1.0 if r[i] > r[j] else 0.5 if r[i] == r[j] else 0.0 for i, j in pairs)
        assert float(found[k]) == pytest.approx(right / len(pairs))
        middle = t[e == 1].median()
        had, rest = (e == 1) & (t <= middle), t > middle
        wanted = oracle.roc_auc_score(had[had | rest], r[had | rest])
        assert float(area[k]) == pytest.approx(wanted)
    none = torch.zeros(300)
    assert float(METRICS["concordance"](log_risk[0], time[0], none)) == 0.5
    assert float(METRICS["median_auc"](log_risk[0], time[0], none)) == 0.5


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


def test_outliers_are_moved_to_either_side_or_swapped() -> None:
    values = {"base": "diabetes", "outlier_size": 7.0}
    (train, _), (scattered, _), (swapped, _) = (
        RegressionTask({**values, "outliers": share, "outlier_kind": kind}).draw(3)
        for share, kind in ((0.0, "shifted"), (0.2, "scattered"), (0.2, "swapped"))
    )
    moved = (scattered["target"] - train["target"]).numpy()
    moved = moved[moved != 0]
    assert len(moved) == 40
    assert 10 <= int((moved > 0).sum()) <= 30
    assert moved.std() == pytest.approx(7.0, rel=0.4)
    assert 35 <= int((swapped["target"] != train["target"]).sum()) <= 40  # some have equal targets
    assert torch.equal(swapped["target"].sort().values, train["target"].sort().values)


def test_features_and_targets_are_standardised_by_the_clean_training_rows() -> None:
    train, _ = RegressionTask({"base": "diabetes", "resample": False}).draw(0)
    assert train["features"].mean(0).numpy() == pytest.approx(np.zeros(10), abs=1e-5)
    assert train["features"].std(0, correction=0).numpy() == pytest.approx(np.ones(10), abs=1e-5)
    assert float(train["target"].std(correction=0)) == pytest.approx(1.0, abs=1e-5)


def test_metrics_agree_with_scikit_learn() -> None:
    draw = torch.Generator().manual_seed(0)
    prediction, target = torch.randn(2, 3, 40, generator=draw, dtype=torch.float64)
    target, prediction = target.abs().round(), prediction.abs()  # counts, for the deviance
    wanted = {
        "poisson_deviance": oracle.mean_poisson_deviance,
        "mae": oracle.mean_absolute_error,
        "rmse": oracle.root_mean_squared_error,
        "r2": oracle.r2_score,
    }
    assert wanted.keys() | {"concordance", "median_auc"} == METRICS.keys()
    for name in wanted:
        found = METRICS[name](prediction, target)
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
        ({"base": "diabetes", "metric": "poisson_deviance"}, "must be one of mae, rmse, r2"),
        ({"base": "doctor_visits", "metric": "r2"}, "must be one of poisson_deviance, mae, rmse"),
        ({"base": "diabetes", "train_size": 400}, "more than the 442 of the table"),
        ({"base": "diabetes", "batch_size": 300}, "batch_size 300 exceeds train_size 200"),
        ({"base": "residents", "outlier_kind": "scattered"}, "wrong times are swapped"),
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
