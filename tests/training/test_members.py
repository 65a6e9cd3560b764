"""Training on all tasks of a distribution: gains, ranks, step sizes, failures."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import pytest
from scipy import stats

from lossearch.candidates.scoring import CandidateEvaluator, EvaluationConfig
from lossearch.candidates.screen import Screen, ScreeningConfig
from lossearch.candidates.stopping import Rungs, StoppingConfig
from lossearch.errors import UserError
from lossearch.search_spaces import load_space
from lossearch.tasks import DistributionTask, Status, build_task
from lossearch.training.cost import training_seconds
from lossearch.training.fitness import fitness, interquartile_mean
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.loss_buffers import loss_buffers
from lossearch.training.members import members_of
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
    for member in distribution.bundled:
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
    for member in distribution.bundled:
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


@pytest.mark.thorough
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
    weights = [member.buffers("loss")["class_weight"] for member in task.bundled]
    assert not weights[0].equal(weights[1])


def test_a_loss_that_fails_on_one_task_fails(distribution: DistributionTask) -> None:
    unbounded = "dense: cross_entropy(logits, target) + logit_penalty(logits)"
    (diverged,) = train(distribution, runs(distribution, unbounded, [0], rate=1e9), STEPS)
    assert diverged.status is Status.DIVERGED
    assert diverged.message.startswith(("digits+clean: ", "digits+symmetric: "))
    assert diverged.metric is None
    (flat,) = train(distribution, runs(distribution, "dense: 0.0 * cross_entropy(logits, target)", [0]), STEPS)
    assert flat.status is Status.DIVERGED
    assert flat.message in {f"{one.name}: no gradient at untrained predictions" for one in distribution.members}
    assert flat.message.startswith("digits+")


def test_what_a_distribution_cannot_do_is_told(distribution: DistributionTask) -> None:
    given = runs(distribution, "cross_entropy", [0])
    with pytest.raises(UserError, match="validation data, on the tasks of two"):
        train(distribution, given, STEPS, split="train")
    with pytest.raises(UserError, match="rungs in"):
        train(distribution, given, STEPS, rungs=(1.5,), promote=lambda step, metrics: [True])
    with pytest.raises(ValueError, match="promote answered for 2 runs of 1"):
        train(distribution, given, STEPS, rungs=(0.5,), promote=lambda step, metrics: [True, True])
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
    assert result.all_metrics[0].keys() == {"gain", *(member.name for member in distribution.bundled)}
    again = evaluator.evaluate(graph_of("focal").frozen(), 0)
    assert (again.score, again.all_metrics, again.graph) == (result.score, result.all_metrics, result.graph)


def test_runs_race_across_tasks_and_keep_what_they_were_trained_on(distribution: DistributionTask) -> None:
    losses = ("cross_entropy", "probability_mae", "dense: 0.0 * cross_entropy(logits, target)")
    given = [run for loss in losses for run in runs(distribution, loss, [0])]
    asked: list[tuple[int, list[float | None]]] = []

    def promote(done: int, metrics: list[float | None]) -> list[bool]:
        asked.append((done, metrics))
        return [True, False, True]

    whole = train(distribution, given, STEPS)
    whole_again, stopped, failed = train(distribution, given, STEPS, rungs=(0.5,), promote=promote)
    members = members_of(distribution, "cpu", train)
    first = max(members, key=lambda member: member.telling(STEPS)).task.name
    # One that goes on ends as without a race, and has the course of its fitness; of no gain, as it is the reference.
    assert whole_again.metrics == pytest.approx(dict(whole[0].metrics), abs=0.02)
    assert [step for step, _ in whole_again.curve] == [STEPS // 2, STEPS]
    assert stopped.status is Status.OK
    assert stopped.metrics.keys() == {"gain", first}
    assert stopped.metrics[first] == pytest.approx(whole[1].metrics[first], abs=0.02)
    assert stopped.curve == ((STEPS // 2, stopped.metric),)
    assert failed.status is Status.DIVERGED
    assert asked == [(1, [whole_again.curve[0][1], stopped.metric, None])]


def test_a_candidate_that_lags_behind_is_stopped_after_a_task(distribution: DistributionTask) -> None:
    stopping = StoppingConfig(rungs=(0.5,), least=1)
    settings = EvaluationConfig(steps=STEPS, seeds=2, variants=1, learning_rates=(1.0,), stopping=stopping)
    evaluator = CandidateEvaluator(distribution, graph_of("cross_entropy"), settings)
    rungs, graph = Rungs(), graph_of("dense: cross_entropy(logits, target) + 30.0 * logit_penalty(logits)")
    good = evaluator.evaluate(graph_of("cross_entropy"), 0, rungs.stops(stopping, True))
    assert (good.stopped, [done for done, _ in good.curve]) == (None, [1, 2])
    assert rungs.learn(stopping, good.curve, True, good.score) == good.score
    lagging = evaluator.evaluate(graph, 0, rungs.stops(stopping, True))
    assert (lagging.stopped, len(lagging.curve)) == (STEPS // 2, 1)
    assert all(len(metrics) == 2 for metrics in lagging.all_metrics)  # the gain, and that of the first task
    assert lagging.score == pytest.approx(lagging.curve[0][1])
    assert rungs.learn(stopping, lagging.curve, False, lagging.score) <= good.score  # type: ignore[operator]
    again = evaluator.evaluate(graph, 0, rungs.stops(stopping, True))
    assert (again.metrics, again.all_metrics) == (lagging.metrics, lagging.all_metrics)
    halving = settings.model_copy(update={"variants": 3, "rung": 0.5, "learning_rates": (1.0, 4.0)})
    tuned = CandidateEvaluator(distribution, graph_of("cross_entropy"), halving).evaluate(graph_of("focal"), 0)
    assert tuned.status is Status.OK


def test_what_a_training_costs_follows_from_its_model() -> None:
    digits = build_task("digits")
    one = training_seconds(digits, 100)
    assert training_seconds(digits, 200) == pytest.approx(2 * one)
    wide = build_task({"base": "digits", "model": {"name": "mlp", "hidden": [4096, 4096]}})
    assert training_seconds(wide, 100) > 5 * one


@pytest.mark.parametrize("n", [1, 2, 3, 4, 5, 8, 13])
def test_interquartile_mean(n: int) -> None:
    values = np.random.default_rng(n).normal(size=n)
    repeated = np.repeat(values, 4)  # a multiple of four, of which whole quarters can be left out
    assert interquartile_mean(values.tolist()) == pytest.approx(stats.trim_mean(repeated, 0.25), rel=1e-12)
    assert fitness("iqm", values.tolist()) == interquartile_mean(values.tolist())
    assert fitness("worst", values.tolist()) == values.min()
    assert fitness("mean", values.tolist()) == pytest.approx(values.mean())
