"""Distributions of tasks: what is drawn, from which part, and what does not fit."""

from pathlib import Path
from typing import Any

import pytest

from lossearch.errors import UserError
from lossearch.tasks import DistributionTask, TaskConfig, build_task
from lossearch.tasks.distribution.config import DistributionConfig, distribution_config
from lossearch.tasks.distribution.reading import read_distribution

AXES: dict[str, Any] = {
    "data": {"digits": {"base": "digits"}, "fashion": {"base": "fashion"}},
    "noise": {
        "clean": {},
        "symmetric": {"noise": "symmetric", "noise_rate": {"low": 0.2, "high": 0.6}},
        "asymmetric": {"noise": "asymmetric", "noise_rate": {"low": 0.1, "high": 0.4}},
    },
    "model": {"mlp": {"model": {"name": "mlp"}}, "cnn": {"model": {"name": "cnn"}}, "vit": {"model": {"name": "vit"}}},
}
RATES: dict[str, Any] = {
    "low": {"noise": "symmetric", "noise_rate": {"low": 0.1, "high": 0.4}},
    "high": {"noise": "symmetric", "noise_rate": {"low": 0.4, "high": 0.6}},
}
HELD_OUT = {"data": ["fashion"], "noise": ["asymmetric"], "model": ["cnn", "vit"]}


def distribution(**fields: Any) -> DistributionConfig:
    return distribution_config({"name": "many", "axes": AXES, "held_out": HELD_OUT, "tasks": 6, **fields})


def drawn(**fields: Any) -> list[TaskConfig]:
    found = distribution(**fields).drawn()
    assert all(isinstance(one, TaskConfig) for one in found)
    return [one for one in found if isinstance(one, TaskConfig)]


def test_the_same_tasks_are_drawn_again_and_others_with_another_seed() -> None:
    assert drawn() == drawn()
    assert drawn() != drawn(draw_seed=1)
    assert drawn(tasks=4) == drawn()[:4]


@pytest.mark.parametrize("seed", range(5))
def test_no_search_sees_what_is_held_out(seed: int) -> None:
    for task in drawn(draw_seed=seed):
        assert (task.dataset, task.model.name) == ("digits", "mlp")
        assert task.noise in ("none", "symmetric")
    for task in drawn(draw_seed=seed, part="held_out"):
        assert task.dataset == "fashion_mnist"
        assert task.noise == "asymmetric"
        assert task.model.name in ("cnn", "vit")


@pytest.mark.parametrize(
    ("axis", "expected"),
    [
        ("data", ({"fashion_mnist"}, {"none", "symmetric"}, {"mlp"})),
        ("noise", ({"digits"}, {"asymmetric"}, {"mlp"})),
        ("model", ({"digits"}, {"none", "symmetric"}, {"cnn", "vit"})),
    ],
)
def test_each_boundary_can_be_crossed_alone(axis: str, expected: tuple[set[str], set[str], set[str]]) -> None:
    found = drawn(part="held_out", boundary=[axis])
    datasets, noises, models = expected
    assert {task.dataset for task in found} == datasets
    assert {task.noise for task in found} == noises
    assert {task.model.name for task in found} == models


def test_options_come_evenly_and_ranges_stay_within_their_ends() -> None:
    ranged = {name: {"train_size": {"low": low, "high": 2 * low}} for name, low in (("few", 200), ("many", 400))}
    found = drawn(
        axes={"data": AXES["data"], "model": AXES["model"], "size": ranged}, tasks=12, held_out={"data": ["fashion"]}
    )
    assert [task.train_size >= 400 for task in found].count(True) == 6
    names = [task.model.name for task in found]
    assert {name: names.count(name) for name in ("mlp", "cnn", "vit")} == dict.fromkeys(("mlp", "cnn", "vit"), 4)
    assert len({task.name for task in found}) == 12
    rates = [task.noise_rate for task in drawn(tasks=12) if task.noise == "symmetric"]
    assert len(set(rates)) == len(rates)
    assert all(0.2 <= rate <= 0.6 for rate in rates)
    sizes = {"size": {"any": {"train_size": {"low": 200, "high": 800, "log": True}}}}
    whole = drawn(axes=AXES | sizes, tasks=4)
    assert all(isinstance(task.train_size, int) and 200 <= task.train_size <= 800 for task in whole)


@pytest.mark.parametrize(
    ("fields", "told"),
    [
        ({"axes": {}}, "axes"),
        ({"axes": {"data": {}}, "held_out": {}}, "axis data has no options"),
        ({"held_out": {"colour": ["red"]}}, "held_out names the axis 'colour'"),
        ({"search": {"data": ["cifar"]}}, "search.data names cifar, must be among digits, fashion"),
        ({"search": {"data": ["digits", "fashion"]}}, "fashion of axis data is both searched and held out"),
        ({"held_out": {"data": ["digits", "fashion"]}}, "all options of axis data are held out"),
        ({"part": "held_out", "held_out": {}}, "nothing is held out"),
        ({"boundary": ["optimizer"]}, "boundary names optimizer"),
        ({"fitness": "rank", "panel": ["brier"]}, "needs a panel of two losses or more"),
        ({"panel": ["brier", "focal"]}, "for fitness 'rank' alone"),
        ({"axes": AXES | {"../x": {"a": {}}}}, "'../x' is no name"),
        ({"axes": AXES | {"size": {"a/b": {}}}}, "'a/b' is no name"),
        (
            {"axes": AXES | {"late": {"flat": {"noise": "none"}}}},
            "axis late sets noise, by which the held-out axis noise",
        ),
        (
            {"axes": {"data": AXES["data"] | {"again": {"base": "fashion"}}}, "held_out": {"data": ["fashion"]}},
            "fashion of axis data is held out, and has the values of another option",
        ),
        (
            {"axes": AXES | {"noise": RATES}, "held_out": {"noise": ["high"]}},
            r"high of axis noise is held out, and its range overlaps that of low",
        ),
        ({"batch_size": 10}, "batch_size belongs to the tasks of a distribution"),
        ({"fitnes": "mean"}, "did you mean 'fitness'"),
    ],
)
def test_what_does_not_fit_is_told(fields: dict[str, Any], told: str) -> None:
    with pytest.raises(UserError, match=told):
        distribution(**fields)


def test_options_with_ranges_that_lie_apart_may_be_held_out() -> None:
    apart = {"low": {**RATES["low"], "noise_rate": {"low": 0.1, "high": 0.39}}, "high": RATES["high"], "none": {}}
    fields: dict[str, Any] = {"axes": AXES | {"noise": apart}, "held_out": {"noise": ["high"]}}
    assert all(task.noise_rate <= 0.39 for task in drawn(**fields))
    assert all(task.noise_rate >= 0.4 for task in drawn(**fields, part="held_out"))
    other = {"low": RATES["low"], "high": {**RATES["high"], "noise": "asymmetric"}}
    assert drawn(axes=AXES | {"noise": other}, held_out={"noise": ["high"]})


@pytest.mark.parametrize(
    ("option", "told"),
    [
        ({"noise_rate": {"low": 0.5, "high": 0.1}}, r"a range as .*low < high.*noise.clean.noise_rate"),
        ({"noise_rate": {"low": 0.0, "high": 0.1, "log": True}}, "low > 0 where log = true"),
        ({"noise_rate": {"low": 0.1, "high": 0.4}}, "does not go with noise_rate .*with the options data digits"),
        ({"moodel": "mlp"}, "did you mean 'model'"),
    ],
)
def test_options_that_make_no_task_are_told(option: dict[str, Any], told: str) -> None:
    config = distribution(axes=AXES | {"noise": {"clean": option, "asymmetric": {}}})
    with pytest.raises(UserError, match=told):
        config.drawn()


def test_a_part_with_too_few_tasks_says_how_many_it_has() -> None:
    few = {"data": AXES["data"], "model": AXES["model"]}
    config = distribution(axes=few, held_out={"data": ["fashion"]}, tasks=4)
    with pytest.raises(UserError, match=r"4 different tasks of data: digits, model: mlp cnn vit; found: 3"):
        config.drawn()


def test_a_distribution_is_read_by_name_from_files_and_tables(tmp_path: Path) -> None:
    own = tmp_path / "own.toml"
    own.write_text('name = "mine"\n[axes.data.digits]\nbase = "digits"\n')
    assert [task.name for task in read_distribution(own, tasks=1).drawn()] == ["digits"]
    search = tmp_path / "search.toml"
    search.write_text('task = { base = "noisy_images", tasks = 3 }\ngenerations = 1\n')
    assert len(read_distribution(search).drawn()) == 3
    assert read_distribution("noisy_images").name == "noisy_images"
    assert read_distribution(distribution(), tasks=2).tasks == 2
    (tmp_path / "single.toml").write_text('task = { family = "regression" }\ngenerations = 1\n')
    with pytest.raises(UserError, match="a distribution of tasks: a table with axes"):
        read_distribution(tmp_path / "single.toml")
    with pytest.raises(UserError, match="noisy_images"):
        read_distribution("nosy_images")
    with pytest.raises(UserError, match="give the name of a distribution"):
        read_distribution(tmp_path / "none.toml")


def test_a_distribution_of_distributions_is_refused() -> None:
    with pytest.raises(UserError, match="single tasks in a distribution"):
        build_task(
            {
                "family": "distribution",
                "name": "nested",
                "axes": {"data": {"many": {"base": "noisy_images"}}},
                "tasks": 1,
            }
        )


def test_tasks_of_other_slots_are_refused() -> None:
    axes = {"data": {"digits": {"base": "digits"}, "diabetes": {"base": "diabetes"}}}
    with pytest.raises(UserError, match=r"tasks with the slots of .*: loss of .*; found: .* with loss of "):
        build_task({"family": "distribution", "name": "mixed", "axes": axes, "tasks": 2})


def test_a_distribution_is_a_task_with_the_metrics_of_its_members() -> None:
    task = build_task({"base": "noisy_images", "name": "noisy", "tasks": 2})
    assert isinstance(task, DistributionTask)
    assert list(task.metrics) == ["gain", *(member.name for member in task.members)]
    assert task.metric.higher_is_better
    assert "2 tasks of noisy, part search: digits+" in task.describe()
    with pytest.raises(UserError, match=r"a single task, with a test split.*--distribution"), task.open_test("compare"):
        pass
