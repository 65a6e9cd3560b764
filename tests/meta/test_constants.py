"""Constants of candidates along hypergradients: they move where they can, and tasks that do not allow it are told."""

from __future__ import annotations

import pytest

from lossearch.candidates.scoring import CandidateEvaluator, EvaluationConfig
from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph
from lossearch.ir.forms.text import parse_graph
from lossearch.meta.constants import learned_constants
from lossearch.tasks import DescribedTask, build_task
from lossearch.tasks.outcome import Status
from lossearch.zoo.named import graph_of

TASK = {"base": "digits", "noise": "symmetric", "noise_rate": 0.4, "train_size": 200}


def _learned(text: str) -> Graph | None:
    return learned_constants(parse_graph(text), build_task(TASK), graph_of("cross_entropy"), 5, 2, 0, "cpu")


def test_constants_move_where_they_can() -> None:
    given = "dense: cross_entropy(logits, target) + 0.5 * true_class_probability(logits, target)"
    found, again = _learned(given), _learned(given)
    assert found is not None
    assert again is not None
    assert found.key == again.key != parse_graph(given).key
    assert _learned("dense: cross_entropy(logits, target)") is None
    assert _learned("dense: 2.0 * cross_entropy(logits - 0.5 * stop_gradient(logits), target)") is None


def test_a_score_tries_them_and_other_tasks_are_refused() -> None:
    settings = EvaluationConfig(steps=5, seeds=1, variants=1, learning_rates=(1.0,), hypergradients=1)
    reference, given = graph_of("cross_entropy"), parse_graph("dense: 2.0 * cross_entropy(logits * 0.5, target)")
    result = CandidateEvaluator(_described(TASK), reference, settings).evaluate(given, 0)
    assert result.status is Status.OK
    adversarial = graph_of("gan_non_saturating")
    for task, loss, message in (
        (_described("noisy_images"), reference, "a distribution of tasks"),
        (_described("digits_gan_discriminator"), adversarial, "updates its models in turn"),
    ):
        with pytest.raises(UserError, match=message):
            CandidateEvaluator(task, loss, settings)


def _described(spec: str | dict[str, object]) -> DescribedTask:
    return build_task(spec)
