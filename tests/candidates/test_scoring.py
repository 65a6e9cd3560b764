"""Evaluating candidates: tuned constants, step size, failures as outcomes, determinism."""

from __future__ import annotations

import math

import pytest

from lossearch import zoo
from lossearch.candidates.scoring import CandidateEvaluator, EvaluationConfig
from lossearch.candidates.variants import constant_variants
from lossearch.ir.forms.text import parse_graph
from lossearch.ir.rewriting.ranges import graph_out_of_range
from lossearch.tasks import Task
from lossearch.tasks.outcome import Outcome, Status
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.step_size import gradient_rms
from lossearch.training.untrained import initial_inputs

SETTINGS = EvaluationConfig(steps=20, seeds=2, variants=3)


@pytest.fixture(scope="module")
def task() -> Task:
    return Task("digits_noise")


@pytest.fixture(scope="module")
def evaluator(task) -> CandidateEvaluator:
    return CandidateEvaluator(task, zoo.get("cross_entropy").graph, SETTINGS)


def test_the_score_is_the_mean_over_the_seeds(evaluator):
    result = evaluator.evaluate(zoo.get("generalized_cross_entropy").graph.frozen(), 0)
    assert result.status is Status.OK
    assert len(result.metrics) == 2
    assert result.score == pytest.approx(sum(result.metrics) / 2)
    assert 0.1 < result.score <= 1.0


def test_with_robustness_the_worst_seed_counts_and_constants_serve_at_all_learning_rates(task):
    graph = zoo.get("generalized_cross_entropy").graph.frozen()
    settings = SETTINGS.model_copy(update={"robustness": 1.0, "learning_rates": (1.0, 64.0)})
    evaluator = CandidateEvaluator(task, zoo.get("cross_entropy").graph, settings)
    result = evaluator.evaluate(graph, 0)
    assert result.score == min(result.metrics) < sum(result.metrics) / 2
    tried = evaluator._settings(graph, 0)
    good, bad, steady = (Outcome(Status.OK, metric, ((20, metric),), 0.0, "") for metric in (0.9, 0.2, 0.7))
    failed = Outcome(Status.DIVERGED, None, (), 0.0, "")
    # Constants by twos of learning rates: one that is best at one rate alone, one that fails there, one that serves.
    assert evaluator._best(tried, [good, bad, failed, good, steady, steady]) == 4
    assert evaluator._best(tried, [good, failed, failed, good, failed, bad]) == 0  # where none serves, the best


def test_a_loss_that_takes_class_weights_gets_inverse_frequencies():
    # Where classes are even, weights change nothing; here some are ten times as frequent as others.
    evaluator = CandidateEvaluator(
        Task("digits_imbalance"),
        zoo.get("cross_entropy").graph,
        EvaluationConfig(steps=20, seeds=1, learning_rates=(1.0,)),
    )
    plain = evaluator.evaluate(zoo.get("cross_entropy").graph, 0)
    weighted = evaluator.evaluate(zoo.get("weighted_cross_entropy").graph, 0)
    assert weighted.status is Status.OK
    assert weighted.metrics != plain.metrics


def test_the_same_arguments_give_the_same_result(evaluator):
    graph = zoo.get("poly1", epsilon=3.3).graph.frozen()
    first, second = evaluator.evaluate(graph, 5), evaluator.evaluate(graph, 5)
    assert (first.metrics, first.graph, first.learning_rate) == (second.metrics, second.graph, second.learning_rate)


def test_a_candidate_gains_nothing_by_a_larger_gradient(task):
    settings = EvaluationConfig(steps=20, seeds=2, variants=1)
    evaluator = CandidateEvaluator(task, zoo.get("cross_entropy").graph, settings)
    small = evaluator.evaluate(parse_graph("dense: cross_entropy(logits, target) ** 1.2"), 0)
    large = evaluator.evaluate(parse_graph("dense: 1e-09 * cross_entropy(logits, target) ** 1.2"), 0)
    assert small.step_scale == pytest.approx(large.step_scale * 1e-9, rel=1e-3)
    assert small.score == pytest.approx(large.score, abs=0.02)


def test_the_step_scale_gives_the_reference_gradient(task, evaluator):
    graph = zoo.get("brier").graph.frozen()
    scale = evaluator.evaluate(graph, 0).step_scale
    inputs = initial_inputs(task)["loss"]
    wanted = gradient_rms(GraphLoss(zoo.get("cross_entropy").graph), inputs)
    assert gradient_rms(GraphLoss(graph, scale=scale), inputs) == pytest.approx(wanted, rel=1e-5)


def test_variants_keep_the_structure_and_include_the_original():
    graph = zoo.get("symmetric_cross_entropy").graph.frozen()
    variants = constant_variants(graph, 5, 0.5, seed=1)
    assert variants[0] is graph
    assert len({v.key for v in variants}) == 5
    assert len({GraphLoss(v).group for v in variants}) == 1  # though constants lie on both sides of 1
    assert constant_variants(zoo.get("cross_entropy").graph, 5, 0.5, 1) == [zoo.get("cross_entropy").graph]


def test_variants_stay_within_the_range_of_float32():
    graph = parse_graph("dense: cross_entropy(logits, target) ** 2.5")
    variants = constant_variants(graph, 12, 3.0, seed=1)
    assert 1 < len(variants) < 12
    assert all(graph_out_of_range(variant) is None for variant in variants)


def test_divergence_is_an_outcome(task):
    evaluator = CandidateEvaluator(
        task, zoo.get("cross_entropy").graph, EvaluationConfig(steps=20, seeds=2, learning_rates=(1e30,))
    )
    result = evaluator.evaluate(parse_graph("dense: -contract(logits, target, over=class)"), 0)
    assert result.status is Status.DIVERGED
    assert result.score is None
    assert result.message
    assert all(math.isnan(metric) for metric in result.metrics)
