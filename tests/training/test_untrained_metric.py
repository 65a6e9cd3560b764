"""The metric of an untrained network, and how much of a training's gain another keeps."""

import pytest

from lossearch import zoo
from lossearch.tasks import DistributionTask, build_task
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.plan import Run
from lossearch.training.train import train
from lossearch.training.untrained_metric import kept_gain, untrained_metrics

MEMBERS = {
    "family": "distribution",
    "name": "two",
    "axes": {"data": {"noisy": {"base": "digits_noise", "steps": 4}, "rare": {"base": "digits_imbalance", "steps": 4}}},
    "tasks": 2,
}


@pytest.mark.parametrize("name", ["digits_noise", "diabetes", "digits_views"])
def test_it_is_that_of_a_training_that_does_not_move(name: str) -> None:
    task = build_task(name)
    losses = {slot: GraphLoss(zoo.get(one.default).graph) for slot, one in task.slots.items()}
    (outcome,) = train(task, [Run(losses, 1e-12, 3)], 1)
    assert untrained_metrics(task, 3) == pytest.approx({task.metric.name: outcome.metric}, rel=1e-4)


def test_of_a_distribution_it_is_that_of_each_member() -> None:
    task = build_task(MEMBERS)
    assert isinstance(task, DistributionTask)
    assert untrained_metrics(task, 1) == {
        member.name: untrained_metrics(member, 1)[member.metric.name] for member in task.bundled
    }


def test_what_is_kept_is_the_smallest_share() -> None:
    start, own = {"a": 0.1, "b": 10.0}, {"a": 0.9, "b": 2.0, "other": 3.0}
    assert kept_gain(start, own, own) == 1.0
    assert kept_gain(start, own, {"a": 0.5, "b": 2.0}) == pytest.approx(0.5)
    assert kept_gain(start, own, {"a": 0.9, "b": 12.0}) == pytest.approx(-0.25)
    assert kept_gain(start, {"a": 0.1, "b": 2.0}, {"a": 0.5, "b": 2.0}) == 0.0
    assert kept_gain({"a": 0.0}, {"a": 0.0}, {"a": 1.0}) == 0.0
