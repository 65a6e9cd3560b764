"""How a configuration names a training function and its metrics."""

from typing import Any

import pytest

from lossearch.errors import UserError
from lossearch.tasks.user.config import FunctionConfig

METRICS = {"val_dice": "maximize", "val_loss": "minimize"}


def config(**fields: Any) -> FunctionConfig:
    return FunctionConfig(function="train.py:train", **fields)


def test_the_first_of_several_metrics_ranks_unless_another_is_named() -> None:
    assert (config(metrics=METRICS).metric, config(metrics=METRICS).direction) == ("val_dice", "maximize")
    other = config(metrics=METRICS, metric="val_loss")
    assert (other.metric, other.direction, list(other.metrics)) == ("val_loss", "minimize", ["val_dice", "val_loss"])


def test_a_name_without_a_known_direction_gets_it_from_the_table() -> None:
    assert config(metrics={"quality": "minimize"}).direction == "minimize"
    with pytest.raises(UserError, match="'quality'"):
        config(metric="quality")


def test_what_ranks_may_stand_beside_the_table() -> None:
    beside = config(metrics={"val_loss": "minimize"}, metric="f1")
    assert (beside.metric, beside.direction) == ("f1", "maximize")


def test_two_directions_of_one_metric_are_refused() -> None:
    with pytest.raises(UserError, match='val_loss = "minimize"'):
        config(metrics=METRICS, metric="val_loss", direction="maximize")


def test_metrics_survive_json_in_their_order() -> None:
    made = config(metrics={"z": "minimize", "a": "maximize"})
    read = FunctionConfig.model_validate_json(made.model_dump_json())
    assert read == made
    assert hash(read) == hash(made)
    assert (read.metric, list(read.metrics)) == ("z", ["z", "a"])
