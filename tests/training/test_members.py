"""Training on all tasks of a distribution: gains, ranks, step sizes, failures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lossearch.candidates.scoring import CandidateEvaluator, EvaluationConfig
from lossearch.candidates.screen import Screen, ScreeningConfig
from lossearch.errors import UserError
from lossearch.search_spaces import load_space
from lossearch.tasks import DistributionTask, Status, build_task
from lossearch.training.fitness import fitness, interquartile_mean
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.loss_buffers import loss_buffers
from lossearch.training.plan import Run
from lossearch.training.train import train
from lossearch.zoo.named import graph_of

STEPS = 30
AXES: dict[str, Any] = {
    "data": {"digits": {"base": "digits", "train_size": 200, "val_size": 200}},
    "noise": {"clean": {}, "symmetric": {"noise": "symmetric", "noise_rate": 0.4}},
}


@pytest.fixture(scope="module")
def distribution() -> DistributionTask:
    return made()


def made(**fields: Any) -> DistributionTask:
    found = build_task({"family": "distribution", "name": "two", "axes": AXES, "tasks": 2, **fields})
    assert isinstance(found, DistributionTask)
    return found


def runs(task: DistributionTask, loss: str, seeds: Sequence[int] = (0, 1), rate: float = 1.0) -> list[Run]:
    return [Run(GraphLoss(graph_of(loss), loss_buffers(task, "loss")), rate, seed) for seed in seeds]


def test_the_reference_gains_nothing_and_ends_as_on_each_task_alone(distribution: DistributionTask) -> None:
    outcomes = train(distribution, runs(distribution, "cross_entropy"), STEPS)
    assert [outcome.metric for outcome in outcomes] == [0.0, 0.0]
    for member in distribution.members:
        found = outcomes[0].metrics[member.name]
        rates = [member.base_learning_rate * 4.0**power for power in range(-3, 4)]
        given = GraphLoss(graph_of("cross_entropy"), loss_buffers(member, "loss"))
        by_rate = {rate: train(member, [Run(given, rate, s) for s in (30_000, 30_001)], STEPS) for rate in rates}
        means = {rate: np.mean([one.metric or 0.0 for one in found]) for rate, found in by_rate.items()}
        (alone,) = train(member, [Run(given, max(means, key=lambda rate: means[rate]), 0)], STEPS)
        assert found == alone.metric


def test_gains_are_differences_in_noise_floors(distribution: DistributionTask) -> None:
    (outcome,) = train(distribution, runs(distribution, "probability_mae", [0]), STEPS)
    (reference,) = train(distribution, runs(distribution, "cross_entropy", [0]), STEPS)
    calibrating = train(distribution, runs(distribution, "cross_entropy", range(8)), STEPS)
    gains = []
    for member in distribution.members:
        values = [one.metrics[member.name] for one in calibrating]
        floor = 1.96 * np.std(values, ddof=1) * np.sqrt(2 / 8)
        gains.append((outcome.metrics[member.name] - reference.metrics[member.name]) / floor)
    assert outcome.metric == pytest.approx(np.mean(gains), rel=1e-9)
    assert outcome.metric is not None
    assert outcome.metric < 0.0  # thirty steps are too few for it


def test_a_constant_factor_changes_nothing_on_any_task(distribution: DistributionTask) -> None:
    one = train(distribution, runs(distribution, "brier"), STEPS)
    other = train(
        distribution,
        runs(distribution, "dense: 37.0 * sum(square(softmax(logits, over=class) - target), over=class)"),
        STEPS,
    )
    assert [a.metrics for a in one] == [pytest.approx(dict(b.metrics), abs=0.02) for b in other]


def test_worst_and_rank() -> None:
    worst = made(fitness="worst")
    (outcome,) = train(worst, runs(worst, "probability_mae", [0]), STEPS)
    mean = made()
    (averaged,) = train(mean, runs(mean, "probability_mae", [0]), STEPS)
    assert outcome.metric is not None
    assert averaged.metric is not None
    assert outcome.metric < averaged.metric
    ranked = made(fitness="rank", panel=["cross_entropy", "probability_mae"])
    assert not ranked.metric.higher_is_better
    first, last = (train(ranked, runs(ranked, loss, [0]), STEPS)[0] for loss in ranked.config.panel)  # type: ignore[attr-defined]
    assert first.metric == pytest.approx(1.5)  # itself counts half
    assert last.metric is not None
    assert last.metric >= 2.0


@pytest.mark.parametrize("fitness", ["mean", "rank"])
def test_filters_judge_predictions_by_the_first_task(fitness: str) -> None:
    panel = ["cross_entropy", "brier"] if fitness == "rank" else []
    task = made(fitness=fitness, panel=panel)
    screen = Screen(task, load_space("dense"), graph_of("cross_entropy"), ScreeningConfig())
    verdict = screen.check(graph_of("cross_entropy"), set())
    assert verdict.accepted, (verdict.filter, verdict.reason)
    assert verdict.numbers["rejection_gain"] == pytest.approx(1.0)


def test_weights_of_classes_are_those_of_each_task() -> None:
    axes = {
        "data": {"digits": {"base": "digits_imbalance", "train_size": 400}},
        "skew": {"a": {"imbalance": 2.0}, "b": {"imbalance": 50.0}},
    }
    task = made(axes=axes)
    (outcome,) = train(task, runs(task, "weighted_cross_entropy", [0]), STEPS)
    assert outcome.status is Status.OK
    weights = [member.buffers("loss")["class_weight"] for member in task.members]
    assert not weights[0].equal(weights[1])


def test_a_loss_that_fails_on_one_task_fails(distribution: DistributionTask) -> None:
    unbounded = "dense: cross_entropy(logits, target) + logit_penalty(logits)"
    (diverged,) = train(distribution, runs(distribution, unbounded, [0], rate=1e9), STEPS)
    assert diverged.status is Status.DIVERGED
    assert diverged.message.startswith(("digits+clean: ", "digits+symmetric: "))
    assert diverged.metric is None
    (flat,) = train(distribution, runs(distribution, "dense: 0.0 * cross_entropy(logits, target)", [0]), STEPS)
    assert flat.status is Status.DIVERGED
    assert "no gradient at untrained predictions of digits+" in flat.message


def test_what_a_distribution_cannot_do_is_told(distribution: DistributionTask) -> None:
    given = runs(distribution, "cross_entropy", [0])
    with pytest.raises(UserError, match="no rungs, and validation data"):
        train(distribution, given, STEPS, rungs=(0.5,), promote=lambda step, metrics: [True])
    with pytest.raises(UserError, match="losses as graphs"):
        train(distribution, [Run(lambda logits, target: logits.sum(), 1.0, 0)], STEPS)
    mixed = made(panel=["mse"])
    with pytest.raises(UserError, match="a panel of signature dense"):
        train(mixed, runs(mixed, "cross_entropy", [0]), STEPS)


def test_candidates_are_scored_on_all_tasks(distribution: DistributionTask) -> None:
    settings = EvaluationConfig(steps=STEPS, seeds=2, variants=2)
    evaluator = CandidateEvaluator(distribution, graph_of("cross_entropy"), settings)
    result = evaluator.evaluate(graph_of("focal").frozen(), 0)
    assert result.status is Status.OK
    assert result.all_metrics[0].keys() == {"gain", *(member.name for member in distribution.members)}
    again = evaluator.evaluate(graph_of("focal").frozen(), 0)
    assert (again.score, again.all_metrics, again.graph) == (result.score, result.all_metrics, result.graph)


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 13])
def test_interquartile_mean(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    repeated = np.repeat(values, 4)  # a multiple of four, of which whole quarters can be left out
    assert interquartile_mean(values.tolist()) == pytest.approx(stats.trim_mean(repeated, 0.25), rel=1e-12)
    assert fitness("iqm", values.tolist()) == interquartile_mean(values.tolist())
    assert fitness("worst", values.tolist()) == values.min()
    assert fitness("mean", values.tolist()) == pytest.approx(values.mean())
