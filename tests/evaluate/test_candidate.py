"""Evaluating candidates: tuned constants, step size, failures as outcomes, determinism."""

from __future__ import annotations

import math

import pytest

from lossearch import zoo
from lossearch.errors import UserError
from lossearch.evaluate.candidate import CandidateEvaluator, EvaluationConfig, constant_variants
from lossearch.evaluate.graph_loss import GraphLoss
from lossearch.evaluate.step_size import gradient_rms
from lossearch.evaluate.training import Status, initial_predictions
from lossearch.ir.range_check import graph_out_of_range
from lossearch.ir.text_form import parse_graph
from lossearch.tasks import Task, UserTask

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
    logits, labels = initial_predictions(task, 0, 256)
    wanted = gradient_rms(GraphLoss(zoo.get("cross_entropy").graph), logits, labels)
    assert gradient_rms(GraphLoss(graph, scale=scale), logits, labels) == pytest.approx(wanted, rel=1e-5)


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


COUNTING = """
import torch

def train(loss, budget, seed):
    logits = torch.linspace(-1.0, 1.0, 10).repeat(4, 1)
    yield from (float(loss(logits, torch.arange(4))) + seed for _ in range(budget))
"""
STEP_SIZE = """
import torch

def train(loss, budget, seed):
    logits = torch.linspace(-0.1, 0.1, 40).reshape(4, 10).requires_grad_()
    (gradient,) = torch.autograd.grad(loss(logits, torch.arange(4)), logits)
    yield float(gradient.square().mean().sqrt())
"""
BROKEN = """
def train(loss, budget, seed):
    raise RuntimeError("out of patience")
    yield 0.0
"""


def test_a_users_function_is_evaluated_with_the_loss_as_a_module(tmp_path):
    # In a file of its own, which imports nothing of lossearch.
    (tmp_path / "mine.py").write_text(COUNTING, encoding="utf-8")
    with UserTask(f"{tmp_path}/mine.py:train", time_limit=60.0) as task:
        evaluator = CandidateEvaluator(task, zoo.get("cross_entropy").graph, EvaluationConfig(steps=2, seeds=2))
        result = evaluator.evaluate(zoo.get("cross_entropy").graph, 0)
    assert result.status is Status.OK, result.message
    assert result.metrics[1] == pytest.approx(result.metrics[0] + 1.0)


def test_a_users_function_that_raises_is_an_outcome_with_its_message(tmp_path):
    (tmp_path / "mine.py").write_text(BROKEN, encoding="utf-8")
    with UserTask(f"{tmp_path}/mine.py:train", time_limit=60.0) as task:
        evaluator = CandidateEvaluator(task, zoo.get("cross_entropy").graph, EvaluationConfig(steps=1, seeds=1))
        result = evaluator.evaluate(zoo.get("cross_entropy").graph, 0)
    assert result.status is Status.ERROR
    assert "out of patience" in result.message


def test_a_users_function_gets_every_loss_at_one_step_size(tmp_path):
    (tmp_path / "mine.py").write_text(STEP_SIZE, encoding="utf-8")
    texts = (
        "cross_entropy(logits, target)",
        "1000.0 * cross_entropy(logits, target)",
        "cross_entropy(logits, target) ** 2.0",
    )
    with UserTask(f"{tmp_path}/mine.py:train", time_limit=60.0) as task:
        evaluator = CandidateEvaluator(task, zoo.get("cross_entropy").graph, EvaluationConfig(steps=1, seeds=1))
        results = [evaluator.evaluate(parse_graph(f"dense: {text}"), 0) for text in texts]
    plain, large, other = results
    assert large.metrics[0] == pytest.approx(plain.metrics[0], rel=1e-5)
    assert (plain.step_scale, large.step_scale) == (pytest.approx(1.0), pytest.approx(1e-3))
    assert large.graph is not plain.graph  # what is archived is the candidate, without the factor
    assert other.metrics[0] == pytest.approx(plain.metrics[0], rel=0.1)


def test_a_users_function_without_a_budget_or_a_gradient(tmp_path):
    (tmp_path / "mine.py").write_text(STEP_SIZE, encoding="utf-8")
    with UserTask(f"{tmp_path}/mine.py:train", time_limit=60.0) as task:
        reference = zoo.get("cross_entropy").graph
        with pytest.raises(UserError, match=r"evaluation\.steps"):
            CandidateEvaluator(task, reference, EvaluationConfig()).evaluate(reference, 0)
        flat = parse_graph("dense: relu(cross_entropy(logits, target) - 1000.0) * sum(target, over=class)")
        result = CandidateEvaluator(task, reference, EvaluationConfig(steps=1)).evaluate(flat, 0)
    assert (result.status, result.message) == (Status.DIVERGED, "no gradient at untrained predictions")
