"""Meta-learning as a search method: it keeps the contract, resumes exactly, and learns what it has to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from lossearch.errors import UserError
from lossearch.meta.learnable import Learnable
from lossearch.meta.method import Hypergradient, tasks_to_learn_on
from lossearch.meta.methods import make_method
from lossearch.meta.outer_loop import Request
from lossearch.meta.problem import Estimate
from lossearch.meta.task_problem import TaskProblem
from lossearch.search_spaces import load_space
from lossearch.tasks import DistributionTask, build_task
from lossearch.zoo.named import graph_of

NOISY = {"base": "digits", "noise": "symmetric", "noise_rate": 0.4, "train_size": 200, "steps": 20}
STRUCTURE = "dense: cross_entropy(clipped_logits(logits, 4.0), target) + 0.2 * true_class_probability(logits, target)"


def _method(seed: int = 0, **settings: Any) -> Hypergradient:
    given = {"structure": STRUCTURE, "pairs": 2, "every": 1, "seeds": 1, **settings}
    method = make_method("hypergradient", load_space("dense").model_copy(update={"seeds": ()}), seed, **given)
    assert isinstance(method, Hypergradient)
    method.use(build_task(NOISY), graph_of("cross_entropy"), "cpu")
    return method


def _told(method: Hypergradient, count: int) -> list[str]:
    keys = []
    for k in range(count):
        candidate = method.ask()
        keys.append(candidate.graph.key)
        method.tell(candidate, -float(k % 3), 1)
    return keys


@pytest.mark.parametrize("estimator", ["es", "pes", "online", "forward"])
def test_a_state_resumes_exactly(estimator: str) -> None:
    settings = {"estimator": estimator, "patience": 3, "spread": 0.05, "horizon": None if estimator == "es" else 6}
    method, resumed = _method(7, **settings), _method(8, **settings)
    first = _told(method, 3)
    resumed.load_state(json.loads(json.dumps(method.state(), allow_nan=False)))
    assert _told(method, 4) == _told(resumed, 4)
    assert first == _told(_method(7, **settings), 3)
    assert len(set(first)) == 3


@pytest.mark.parametrize("estimator", ["es", "pes"])
def test_where_hypergradients_are_computed_makes_no_difference(estimator: str) -> None:
    settings = {"estimator": estimator, "horizon": None if estimator == "es" else 10}
    here, there, other = (_method(7, **settings) for _ in range(3))
    asked: list[Request] = []

    def elsewhere(requests: Sequence[Request]) -> list[Estimate]:
        asked.extend(requests)
        return [other.answer(request) for request in requests]

    there.ask_elsewhere(elsewhere)
    assert _told(here, 3) == _told(there, 3)
    assert len(asked) == (2 if estimator == "es" else 0)  # trainings that go on stay where they are


def test_proposals_tell_what_led_to_them() -> None:
    method = _method(estimator="unrolled", horizon=10, every=2)
    assert method.ask().numbers == {"outer_step": 0.0, "coefficient.c0": 4.0, "coefficient.c1": 0.2}
    numbers = method.ask().numbers
    assert numbers["outer_step"] == 2.0
    assert numbers["outer_cost"] == 2 * 10
    assert numbers["outer_gradient"] > 0.0
    assert 0.0 < numbers["outer_value"] < 10.0
    assert {"coefficient.c0", "coefficient.c1"} <= numbers.keys()


def test_losses_are_learned_on_other_tasks_than_those_that_score_them() -> None:
    scoring = build_task({"base": "noisy_images", "tasks": 2})
    assert isinstance(scoring, DistributionTask)
    learned = tasks_to_learn_on(scoring, 4)
    assert len(learned) == 4
    own = {task.config.model_copy(update={"name": ""}) for task in scoring.members}
    assert not own & {task.config.model_copy(update={"name": ""}) for task in learned}
    one = {"axes": {"data": {"digits": {"base": "digits"}}}, "family": "distribution", "tasks": 1}
    with pytest.raises(UserError, match="other tasks to learn on"):
        tasks_to_learn_on(build_task(one), 4)


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match="without gradients: es, nres, pes"):
        _method(objective="metric", estimator="forward")
    with pytest.raises(UserError, match="a horizon from 1 to 20 steps"):
        _method(estimator="unrolled", horizon=21)
    with pytest.raises(UserError, match="a loss with coefficients"):
        _method(structure="cross_entropy")
    with pytest.raises(UserError, match="a structure of signature dense"):
        _method(structure="huber")
    episode = TaskProblem(build_task(NOISY), Learnable.of(STRUCTURE), objective="metric").episode([0])
    with pytest.raises(UserError, match="a gradient, for this estimator"):
        episode.objective(episode.initial_weights().requires_grad_())
    learnable = Learnable.of("adversarial: 2.0 * softplus(-real) + softplus(fake)")
    in_turn = TaskProblem(build_task("digits_gan_discriminator"), learnable)
    with pytest.raises(UserError, match='set estimator = "es" and neutral = "start"'):
        in_turn.episode([0])
