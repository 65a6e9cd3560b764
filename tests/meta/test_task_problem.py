"""Trainings of tasks as pure functions: of every kind of step, neutral to step size, and as searches train."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import numpy as np
import pytest
import torch
from representative import first_of

from lossearch.errors import UserError
from lossearch.meta.estimators.forward import Forward
from lossearch.meta.estimators.reverse import Reverse
from lossearch.meta.estimators.unrolled import Unrolled
from lossearch.meta.learnable import Learnable
from lossearch.meta.problem import whole_outcomes
from lossearch.meta.task_problem import Neutral, TaskProblem
from lossearch.tasks import build_task

DIGITS: Mapping[str, Any] = {"base": "digits", "noise": "symmetric", "noise_rate": 0.4, "train_size": 200}
MIXED = "dense: 1.5 * cross_entropy(logits, target) + 0.4 * true_class_probability(logits, target)"
SCHEDULED = "dense: 1.5 * cross_entropy(logits, target) + progress * 0.4 * true_class_probability(logits, target)"
WEIGHTED = MIXED + " * contract(target, class_weight, over=class)"
KINDS: dict[str, tuple[str | Mapping[str, Any], str]] = {
    "mlp": (DIGITS, MIXED),
    "cnn": ({**DIGITS, "model": {"name": "cnn", "channels": [4]}}, MIXED),
    "vit": ({**DIGITS, "model": {"name": "vit", "width": 8, "depth": 1, "heads": 2}}, MIXED),
    "class weights": ({**DIGITS, "imbalance": 5.0}, WEIGHTED),
    "schedule": (DIGITS, SCHEDULED),
    "regression": ("diabetes", "regression: 1.5 * square(prediction - target) + 0.4 * abs(prediction - target)"),
    "diffusion": (
        "digits_diffusion",
        "diffusion_snr: 1.5 * square(prediction - noise) + 0.4 * abs(prediction - noise)",
    ),
    "two slots, one run after the other": ({"base": "digit_scenes_class", "slot": "classification"}, MIXED),
}
SEEDS = [100_000, 100_001]


@pytest.mark.parametrize("kind", first_of(KINDS, 3))
def test_exact_estimators_agree_on_tasks(kind: str) -> None:
    spec, structure = KINDS[kind]
    learnable, task = Learnable.of(structure), build_task(spec)
    seeds = SEEDS if task.stackable else SEEDS[:1]
    problem = TaskProblem(task, learnable, steps=3, dtype=torch.float64)
    found = [one.estimate(problem, learnable.start, 3, seeds) for one in (Unrolled(), Forward(), Reverse())]
    # Tangents that vanish silently, as of modules' own parameters, would give zeros.
    assert found[0].gradient.abs().max() > 1e-6
    for other in found[1:]:
        torch.testing.assert_close(other.gradient, found[0].gradient, rtol=1e-7, atol=1e-12)
    assert found[0].value == pytest.approx(np.mean(problem.outcomes([learnable.start] * len(seeds), seeds)), rel=1e-9)


@pytest.mark.parametrize("neutral", ["step", "start", "none"])
def test_the_size_of_the_loss_is_taken_out(neutral: Neutral) -> None:
    learnable = Learnable.of("dense: 1.5 * cross_entropy(logits, target)")
    problem = TaskProblem(build_task(DIGITS), learnable, steps=6, neutral=neutral, dtype=torch.float64)
    slope = Unrolled().estimate(problem, learnable.start, 6, SEEDS).gradient.abs().item()
    assert slope < 1e-6 if neutral != "none" else slope > 1e-2


def test_whole_trainings_are_those_of_searches() -> None:
    task, learnable = build_task(DIGITS), Learnable.of(MIXED)
    own = {"steps": 20, "objective": "metric", "neutral": "none"}
    problem = TaskProblem(task, learnable, **own)
    searched = problem.outcomes([learnable.start] * 2, SEEDS)
    assert whole_outcomes(problem, [learnable.start] * 2, SEEDS) == pytest.approx(searched, abs=1e-6)
    far = [100.0, 100.0]  # beyond the bounds, and so held there
    assert problem.outcomes([far], SEEDS[:1]) == problem.outcomes([learnable.held(far)], SEEDS[:1])


@pytest.mark.parametrize("neutral", ["step", "start", "none"])
def test_outcomes_are_those_of_the_objective(neutral: Neutral) -> None:
    learnable = Learnable.of(MIXED)
    problem = TaskProblem(build_task(DIGITS), learnable, steps=3, neutral=neutral, objective="loss")
    found = problem.outcomes([learnable.start] * 2, SEEDS)
    exact = Unrolled().estimate(problem, learnable.start, 3, SEEDS)
    assert np.mean(found) == pytest.approx(exact.value, rel=1e-5)


def test_an_objective_on_classes_that_are_not_trained_is_refused() -> None:
    problem = TaskProblem(build_task(DIGITS), Learnable.of(MIXED))
    logits = torch.zeros(1, 4, 3)
    with pytest.raises(UserError, match="validation data of the classes that are trained"):
        problem.check_classes([logits, torch.tensor([[0, 1, 2, 3]])])
    problem.check_classes([logits, torch.tensor([[0, 1, 2, 2]])])
