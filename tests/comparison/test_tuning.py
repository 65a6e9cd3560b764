from __future__ import annotations

import dataclasses
import json
import math
import subprocess
import sys
from concurrent.futures import Executor, Future
from concurrent.futures.process import BrokenProcessPool
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor

from lossearch import zoo
from lossearch.candidates.scoring import CandidateEvaluator, EvaluationConfig
from lossearch.comparison import jobs
from lossearch.comparison.jobs import Conditions, JobResult
from lossearch.comparison.tuning import Budget, Trial, Tuned, rank, tune, tuned_from, tuning
from lossearch.comparison.tuning_space import OCTAVES, Hyperparameters
from lossearch.errors import UserError
from lossearch.loss import Loss
from lossearch.tasks import Task, openings, seal
from lossearch.training.graph_loss import GraphLoss

STEPS = 5
BUDGET = Budget(trials=8, seeds=2, final_seeds=1)


def make_task(**changes: Any) -> Task:
    """Digits, judged by a metric that shows the smallest difference in the weights."""
    return Task({"base": "digits_noise", "metric": "negative_log_likelihood", "batch_size": 50, **changes})


@pytest.fixture(scope="module")
def task() -> Task:
    return make_task()


def tune_here(loss: Loss | str, task: Task, budget: Budget = BUDGET, **options: Any) -> Tuned:
    loss = zoo.get(loss) if isinstance(loss, str) else loss
    return tune(loss, task, budget, **{"steps": STEPS, "workers": 1, **options})


def best(tuned: Tuned) -> Trial:
    return next(trial for trial in tuned.trials if trial.setting == tuned.setting)


@pytest.mark.parametrize("budget", [BUDGET, Budget(2, 1, 0), Budget(5, 3, 2)])
def test_every_loss_gets_the_same_budget(task: Task, monkeypatch: pytest.MonkeyPatch, budget: Budget) -> None:
    given: list[tuple[int, int]] = []
    original = jobs.train

    def counting_train(task: Task, runs: list[jobs.Run], steps: int, **options: Any) -> Any:
        given.extend((run.seed, steps) for run in runs)
        return original(task, runs, steps, **options)

    monkeypatch.setattr(jobs, "train", counting_train)
    seen = []
    for name in ("cross_entropy", "focal", "symmetric_cross_entropy"):  # none, one and several parameters
        given.clear()
        tuned = tune_here(name, task, budget)
        assert len(tuned.trials) == budget.trials
        assert tuned.runs == budget.runs == len(given)
        seen.append(sorted(given))
    assert seen[0] == seen[1] == seen[2]


def test_the_test_split_is_never_opened(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(seal, "_reason_sealed", "a test")  # tuning must do without
    before = openings()
    tune_here("focal", task)
    assert openings() == before


def test_the_winner_is_the_best_by_all_seeds_and_bound_to_the_loss(task: Task) -> None:
    tuned = tune_here("focal", task)
    winner = best(tuned)
    assert len(winner.metrics) == BUDGET.seeds + BUDGET.final_seeds
    finalists = [trial for trial in tuned.trials if len(trial.metrics) > BUDGET.seeds]
    assert len(finalists) == BUDGET.finalists
    assert tuned.validation == winner.metric == min(trial.metric for trial in finalists if trial.metric is not None)
    (gamma,) = tuned.loss.parameters
    assert gamma.default == winner.setting.parameters["gamma"]
    assert tuned.learning_rate == winner.learning_rate


def test_the_defaults_are_tried(task: Task) -> None:
    first = tune_here("tversky", task).trials[0].setting
    assert first.parameters == {"alpha": 0.3, "beta": 0.7, "smooth": 1e-5}
    assert first.learning_rate == task.config.learning_rate


def test_parameters_stay_in_their_bounds(task: Task) -> None:
    loss = zoo.get("generalized_cross_entropy")
    (q,) = loss.parameters
    tried = [trial.setting.parameters["q"] for trial in tune_here(loss, task).trials]
    assert all(q.lower <= value <= q.upper for value in tried)
    assert len(set(tried)) > 4


def test_a_winning_edge_is_extended_and_marked_if_it_wins_again() -> None:
    far_too_low = make_task(learning_rate=1e-7)
    tuned = tune_here("cross_entropy", far_too_low)
    rates = [trial.setting.learning_rate for trial in tuned.trials]
    assert max(rates) > 1e-7 * 2 ** (OCTAVES / 2 + 8)
    assert dict(tuned.at_edge) == {"learning_rate": "high"}


def test_an_extension_reaches_a_winner_that_is_no_edge() -> None:
    too_low = make_task(learning_rate=2e-4)
    tuned = tune_here("cross_entropy", too_low, Budget(16, 1, 0), steps=20)
    assert tuned.learning_rate > 2e-4 * 2 ** (OCTAVES / 2)
    assert dict(tuned.at_edge) == {}


def tune_towards(best_smooth: float, budget: Budget = BUDGET) -> Tuned:
    """A tuning whose metric is the distance of `smooth` from a value; nothing is trained."""
    task = make_task()
    stages = tuning(zoo.get("dice"), budget, Conditions(task.config, STEPS))
    given = next(stages)
    while True:
        answers = [
            [
                JobResult(
                    setting.learning_rate,
                    1.0,
                    (abs(math.log(setting.parameters["smooth"] / best_smooth)),) * len(job.seeds),
                )
                for setting in job.settings
            ]
            for job in given
        ]
        try:
            given = stages.send(answers)
        except StopIteration as ended:
            return ended.value


def test_a_parameter_that_wins_at_an_edge_of_its_search_is_extended() -> None:
    low, high = zoo.get("dice").parameters[0].searched
    tuned = tune_towards(80.0, Budget(24, 2, 1))
    assert tuned.setting.parameters["smooth"] == pytest.approx(80.0, rel=0.5)
    assert tuned.setting.parameters["smooth"] > high
    assert "smooth" not in tuned.at_edge
    inside = tune_towards(1e-2, Budget(24, 2, 1))
    assert low < inside.setting.parameters["smooth"] < high
    assert "smooth" not in inside.at_edge
    assert tuned.runs == inside.runs == Budget(24, 2, 1).runs


def test_a_parameter_that_wins_at_its_bounds_is_marked() -> None:
    tuned = tune_towards(1e6)
    assert tuned.setting.parameters["smooth"] == 1e3
    assert tuned.at_edge["smooth"] == "high"


def test_a_loss_times_a_thousand_is_the_same_loss(task: Task) -> None:
    plain = tune_here("cross_entropy", task)
    scaled = tune_here(Loss.from_text("dense: 1000.0 * cross_entropy(logits, target)"), task)
    assert scaled.learning_rate == pytest.approx(plain.learning_rate / 1000, rel=1e-3)
    assert scaled.validation == pytest.approx(plain.validation, rel=1e-3)


def test_under_adam_the_scale_of_a_loss_changes_nothing() -> None:
    adam = make_task(optimizer="adam", learning_rate=1e-3)
    scaled = tune_here(Loss.from_text("dense: 1000.0 * cross_entropy(logits, target)"), adam)
    assert {trial.step_scale for trial in scaled.trials} == {1.0}


def test_a_loss_without_gradient_is_an_outcome(task: Task) -> None:
    flat = Loss.from_text("dense: sum(target * sign(logits), over=class)", "flat")
    tuned = tune_here(flat, task)
    assert tuned.validation is None
    assert tuned.runs == BUDGET.runs
    assert "gradient" in tuned.message
    assert tuned.loss == flat


def test_a_loss_that_diverges_is_an_outcome(task: Task, monkeypatch: pytest.MonkeyPatch) -> None:
    def poisoned(logits: Tensor, target: Tensor) -> Tensor:
        return F.cross_entropy(logits, target) * float("nan")

    monkeypatch.setattr(jobs, "step_scale", lambda *_: 1.0)
    monkeypatch.setattr(jobs, "loss_function", lambda *_: poisoned)
    tuned = tune_here("focal", task)
    assert tuned.validation is None
    assert "diverged" in tuned.message
    centre = task.config.learning_rate
    assert min(trial.setting.learning_rate for trial in tuned.trials) < centre / 2 ** (OCTAVES / 2)


def trial(*metrics: float | None) -> Trial:
    return Trial((0.5,), Hyperparameters({}, 0.1), 0.1, 1.0, metrics)


def test_failed_trials_rank_last_and_equal_ones_in_order() -> None:
    trials = [trial(0.5, None), trial(0.1, 0.5), trial(0.9, 0.8), trial(0.35), trial(0.5, 0.1), trial(None, None)]
    assert rank(trials, higher_is_better=True) == [2, 3, 1, 4, 0, 5]
    assert rank(trials, higher_is_better=False) == [1, 4, 3, 2, 0, 5]


def test_a_trial_that_failed_with_further_seeds_is_not_chosen(task: Task) -> None:
    trials = [trial(0.1, 0.1, None), trial(0.2, 0.2, 0.2), trial(0.15, 0.15)]
    assert tuned_from(zoo.get("cross_entropy"), trials, Conditions(task.config, STEPS)).validation == pytest.approx(0.2)


SCRIPT = """
import json
from lossearch import zoo
from lossearch.comparison.tuning import Budget, tune
from lossearch.tasks import Task

task = Task({config})
tuned = tune(zoo.get("poly1"), task, Budget(14, 2, 1), steps=3, workers=2)
print(json.dumps([[t.learning_rate, t.setting.parameters, t.metrics] for t in tuned.trials]))
"""


@pytest.mark.thorough
def test_two_workers_give_the_same_bits_and_need_no_main_guard(task: Task, tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(SCRIPT.format(config=task.config.model_dump()))
    result = subprocess.run([sys.executable, script], capture_output=True, text=True, check=False)
    assert result.returncode == 0, result.stderr
    here = tune_here("poly1", task, Budget(14, 2, 1), steps=3)
    expected = [[t.learning_rate, dict(t.setting.parameters), list(t.metrics)] for t in here.trials]
    assert json.loads(result.stdout) == expected


def test_the_callers_number_of_threads_is_left_alone(task: Task) -> None:
    before = torch.get_num_threads()
    torch.set_num_threads(2)
    try:
        tune_here("cross_entropy", task, Budget(2, 1, 0))
        assert torch.get_num_threads() == 2
    finally:
        torch.set_num_threads(before)


class KilledWorkers(Executor):
    def submit(self, fn: Any, /, *args: Any, **kwargs: Any) -> Future[Any]:
        future: Future[Any] = Future()
        future.set_exception(BrokenProcessPool("a process was killed"))
        return future


def test_a_killed_worker_is_reported(task: Task) -> None:
    with pytest.raises(UserError, match="fewer workers"):
        tune_here("focal", task, executor=KilledWorkers())


@pytest.mark.parametrize("arguments", [{"trials": 1}, {"seeds": 0}, {"final_seeds": -1}])
def test_a_budget_out_of_range_is_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(UserError, match=next(iter(arguments))):
        Budget(**arguments)


@pytest.mark.parametrize("name", ["focal", "dice", "weighted_cross_entropy"])
def test_the_shipped_module_gives_the_same_figures(task: Task, name: str) -> None:
    stacked, module = tune_here(name, task), tune_here(name, task, backend="eager")
    for one, other in zip(stacked.trials, module.trials, strict=True):
        assert one.metrics == pytest.approx(other.metrics, rel=1e-4)


def test_fewer_than_one_worker_is_refused(task: Task) -> None:
    with pytest.raises(UserError, match="worker"):
        tune_here("focal", task, workers=0)


def test_class_weights_are_inverse_frequencies() -> None:
    long_tail = Task({"base": "digits_imbalance"})
    weights = long_tail.buffers("loss")["class_weight"]
    labels = long_tail.train.labels
    assert weights[labels].mean().item() == pytest.approx(1.0)
    counts = torch.bincount(labels, minlength=long_tail.classes)
    assert torch.allclose(weights * counts, torch.full_like(weights, len(labels) / long_tail.classes))


def test_an_absent_class_has_no_weight_in_a_search_nor_in_a_comparison(monkeypatch: pytest.MonkeyPatch) -> None:
    task = Task({"base": "digits_imbalance"})
    frequencies = (0.0, 0.5, 0.25, 0.25, *[0.0] * 6)
    statistics = dataclasses.replace(task.statistics(), class_frequencies=frequencies)
    monkeypatch.setattr(task, "_statistics", statistics)
    wanted = [0.0, 2 / 3, 4 / 3, 4 / 3, *[0.0] * 6]  # 1 / (3 f): three classes occur
    loss = zoo.get("weighted_cross_entropy")
    compared = jobs.loss_function(loss.graph, "loss", task, Conditions(task.config, STEPS), loss.name)
    searched = CandidateEvaluator(task, loss.graph, EvaluationConfig())
    assert isinstance(compared, GraphLoss)
    for given in (task.buffers("loss"), compared.buffers, searched.buffers["loss"]):
        weights = given["class_weight"]
        assert weights.tolist() == pytest.approx(wanted)


def test_losses_that_take_class_weights_get_them(task: Task) -> None:
    assert tune_here("weighted_cross_entropy", task, Budget(2, 1, 0)).validation is not None
