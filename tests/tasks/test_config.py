from __future__ import annotations

import tomllib
from typing import Any

import pytest

from lossearch.errors import UserError
from lossearch.tasks import catalogue, tasks
from lossearch.tasks.classification.config import CNNConfig, task_config


def test_every_named_task_is_valid_and_carries_its_name() -> None:
    assert {"digits", "digits_noise", "fashion", "fashion_noise"} <= set(tasks())
    for name, config in tasks().items():
        assert config.name == name
        assert catalogue.task_config(name) == config


def test_the_demo_task_is_forty_percent_symmetric_noise_on_digits() -> None:
    config = task_config("digits_noise")
    assert (config.dataset, config.noise, config.noise_rate) == ("digits", "symmetric", 0.4)
    assert (config.train_size, config.val_size, config.test_size) == (800, 500, 497)


def test_a_toml_table_overrides_a_named_task() -> None:
    table = tomllib.loads('base = "digits_noise"\nnoise_rate = 0.2\nmodel = {name = "cnn", channels = [4]}')
    config = task_config(table)
    assert config.noise_rate == 0.2
    assert config.model == CNNConfig(channels=(4,))
    assert config.steps == task_config("digits_noise").steps
    assert config.name == "digits_noise_custom"


def test_a_configuration_survives_its_own_json() -> None:
    for config in tasks().values():
        assert type(config).model_validate_json(config.model_dump_json()) == config


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"dataset": "cifar"}, "dataset is 'cifar'"),
        ({"metric": "f1"}, "metric is 'f1'"),
        ({"noise_rate": 1.5}, "noise_rate"),
        ({"noise": "none"}, "noise 'none' does not go with noise_rate 0.4"),
        ({"train_size": 1200}, "more than the 1797"),
        ({"test_size": None}, "test_size is required"),
        ({"model": {"name": "resnet"}}, "model"),
        ({"model": {"name": "mlp", "hiden": [3]}}, "hiden"),
        ({"imbalance": 0.5}, "imbalance"),
        ({"batch_size": 2000}, "batch_size 2000 exceeds"),
        ({"learning_rate": float("nan")}, "learning_rate"),
        ({"stepz": 5}, "stepz"),
        ({"dataset": "fashion_mnist", "test_size": 10_001}, "exceeds the 10000 official"),
    ],
)
def test_a_bad_value_is_named(change: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        task_config({"base": "digits_noise", **change})


def test_an_unknown_task_is_refused_with_the_known_ones() -> None:
    with pytest.raises(UserError, match=r"digits_noise.*found: 'digit_noise'"):
        task_config("digit_noise")
