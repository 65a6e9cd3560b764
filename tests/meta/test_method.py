"""Meta-learning as a search method: it keeps the contract, resumes exactly, and learns what it has to."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

import pytest

from lossearch.errors import UserError
from lossearch.meta.estimators.windows import Persistent
from lossearch.meta.learnable import Learnable
from lossearch.meta.method import Hypergradient
from lossearch.meta.methods import make_method
from lossearch.meta.outer_loop import OuterLoop, Request
from lossearch.meta.outer_optimizers import Adam
from lossearch.meta.problem import Estimate
from lossearch.meta.task_problem import TaskProblem
from lossearch.search_spaces import load_space
from lossearch.tasks import DescribedTask, DistributionTask, build_task
from lossearch.zoo.named import graph_of

from .problems import Regression

NOISY = {"base": "digits", "noise": "symmetric", "noise_rate": 0.4, "train_size": 200, "steps": 20}
STRUCTURE = "dense: cross_entropy(clipped_logits(logits, 4.0), target) + 0.2 * true_class_probability(logits, target)"


ADVERSARIAL = "adversarial: 2.0 * softplus(-real) + softplus(fake)"


def _method(seed: int = 0, **settings: Any) -> Hypergradient:
    return _method_on(build_task(NOISY), "dense", seed, structure=STRUCTURE, **settings)


def _method_on(task: DescribedTask, space: str, seed: int = 0, **settings: Any) -> Hypergradient:
    given = {"pairs": 2, "every": 1, "seeds": 1, **settings}
    method = make_method("hypergradient", load_space(space).model_copy(update={"seeds": ()}), seed, **given)
    assert isinstance(method, Hypergradient)
    (slot,) = task.searched
    method.use(task, graph_of(task.slots[slot].default), "cpu")
    return method


def _told(method: Hypergradient, count: int) -> list[str]:
    keys = []
    for k in range(count):
        candidate = method.ask()
        keys.append(candidate.graph.key)
        method.tell(candidate, -float(k % 3), 1)
    return keys


def _settings(way: str, horizon: int) -> dict[str, Any]:
    """Of an estimator, or of CMA-ES, which has none."""
    return {"optimizer": way} if way == "cma_es" else {"estimator": way, "horizon": None if way == "es" else horizon}


@pytest.mark.parametrize("way", ["es", "pes", "online", "forward", "cma_es"])
def test_a_state_resumes_exactly(way: str) -> None:
    settings = {**_settings(way, 6), "patience": 3, "spread": 0.05}
    method, resumed = _method(7, **settings), _method(8, **settings)
    first = _told(method, 3)
    resumed.load_state(json.loads(json.dumps(method.state(), allow_nan=False)))
    assert _told(method, 4) == _told(resumed, 4)
    assert first == _told(_method(7, **settings), 3)
    assert len(set(first)) == 3


@pytest.mark.parametrize("way", ["es", "pes", "cma_es"])
def test_where_hypergradients_are_computed_makes_no_difference(way: str) -> None:
    settings = _settings(way, 10)
    here, there, other = (_method(7, **settings) for _ in range(3))
    asked: list[Request] = []

    def elsewhere(requests: Sequence[Request]) -> list[Estimate]:
        asked.extend(requests)
        return [other.answer(request) for request in requests]

    there.ask_elsewhere(elsewhere)
    assert _told(here, 3) == _told(there, 3)
    assert len(asked) == (0 if way == "pes" else 2)  # trainings that go on stay where they are


def test_a_new_beginning_forgets_the_trainings_of_the_point_before() -> None:
    problem = Regression()
    loop = OuterLoop(Adam(Unbounded()), [problem], Persistent(pairs=2), [0.3, -0.5], seed=1, horizon=4)
    loop.step()
    assert loop.state()["estimator"][problem.name]["past"] == [[4, [0.3, -0.5]]]
    loop.restart([0.1, 0.2])
    loop.step()
    assert loop.state()["estimator"][problem.name]["past"] == [[4, [0.1, 0.2]]]


@pytest.mark.parametrize("neutral", ["step", "start"])
def test_a_factor_on_the_whole_loss_stays_where_its_size_is_taken_out(neutral: str) -> None:
    structure = "dense: 1.5 * cross_entropy(clipped_logits(logits, 4.0), target)"
    settings = {"estimator": "unrolled", "neutral": neutral, "learning_rate": 0.1, "every": 5}
    method = _method_on(build_task(NOISY), "dense", structure=structure, **settings)
    _, numbers = (method.ask().numbers for _ in range(2))
    assert numbers["coefficient.c0"] == pytest.approx(1.5, rel=0.02)
    assert abs(numbers["coefficient.c1"] - 4.0) > 0.5


class Unbounded:
    def held(self, point: Sequence[float]) -> list[float]:
        return list(point)


def test_the_tasks_that_there_are_are_learned_on_and_their_mistakes_are_told() -> None:
    sizes = {f"n{size}": {"train_size": size} for size in (100, 200, 300)}
    given = {"axes": {"data": {"digits": {"base": "digits"}}, "size": sizes}, "family": "distribution", "tasks": 2}
    assert len(build_task(given).to_learn_on(1000)) == 1
    mixed = {**sizes, "other": {"base": "diabetes"}}
    for draw_seed in range(20):  # until the two that score are images
        odd = {
            **given,
            "axes": {"size": {k: {"base": "digits", **v} for k, v in mixed.items()}},
            "draw_seed": draw_seed,
        }
        try:
            scoring = build_task(odd)
        except UserError:
            continue
        with pytest.raises(UserError, match="tasks with the slots of"):
            scoring.to_learn_on(2)
        break
    else:
        pytest.fail("no draw has two tasks of images")


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
    learned = scoring.to_learn_on(4)
    assert len(learned) == 4
    own = {task.config.model_copy(update={"name": ""}) for task in scoring.bundled}
    assert not own & {task.config.model_copy(update={"name": ""}) for task in learned}
    one = {"axes": {"data": {"digits": {"base": "digits"}}}, "family": "distribution", "tasks": 1}
    with pytest.raises(UserError, match="other tasks to learn on"):
        build_task(one).to_learn_on(4)


def test_mistakes_are_told() -> None:
    with pytest.raises(UserError, match=r"the field method\.structure; found: none in the settings of hypergradient"):
        make_method("hypergradient", load_space("dense"), 0)
    with pytest.raises(UserError, match="without gradients: es, nres, pes"):
        _method(objective="metric", estimator="forward")
    with pytest.raises(UserError, match="neither horizon nor shortest with es"):
        _method(horizon=5)
    with pytest.raises(UserError, match="'cma_es' needs no estimator, found 'forward'"):
        _method(optimizer="cma_es", estimator="forward")
    with pytest.raises(UserError, match="'cma_es' has no learning_rate"):
        _method(optimizer="cma_es", learning_rate=0.1)
    for estimator in ("implicit", "neumann"):
        with pytest.raises(UserError, match="needs neutral 'start' or 'none'"):
            _method(estimator=estimator)
        _method(estimator=estimator, neutral="start")
    with pytest.raises(UserError, match="a horizon from 1 to 20 steps"):
        _method(estimator="unrolled", horizon=21)
    with pytest.raises(UserError, match="a loss with coefficients"):
        _method_on(build_task(NOISY), "dense", structure="cross_entropy")
    with pytest.raises(UserError, match="a structure of signature dense"):
        _method_on(build_task(NOISY), "dense", structure="huber")
    episode = TaskProblem(build_task(NOISY), Learnable.of(STRUCTURE), objective="metric").episode([0])
    with pytest.raises(UserError, match="a gradient, for this estimator"):
        episode.objective(episode.initial_weights().requires_grad_())
    gan = build_task("digits_gan_discriminator")
    in_turn = 'set estimator = "es", objective = "metric" and neutral = "start"'
    ways: list[dict[str, Any]] = [{}, {"estimator": "online"}, {"neutral": "start", "objective": "loss"}]
    for settings in ways:
        with pytest.raises(UserError, match=in_turn):
            _method_on(gan, "adversarial", structure=ADVERSARIAL, **settings)
    _method_on(gan, "adversarial", structure=ADVERSARIAL, neutral="start")
    with pytest.raises(UserError, match="validation data with numbers, as the training step takes"):
        _method_on(build_task("digits_views"), "views", structure="vicreg", estimator="pes", objective="loss")
    scenes = build_task({"base": "digit_scenes_class", "slot": "classification"})
    ways = [{"estimator": "reverse", "seeds": 2}, {"estimator": "pes"}]
    for settings in ways:
        with pytest.raises(UserError, match="set seeds = 1, and an estimator other than"):
            _method_on(scenes, "dense", structure=STRUCTURE, **settings)
    _method_on(scenes, "dense", structure=STRUCTURE, estimator="reverse")
