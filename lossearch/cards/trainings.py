"""Trainings for a card: as a search left a loss, or at the step size of the task's default, on validation or test."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Literal

from lossearch.candidates.retraining import FoundCandidate, metric_of, retrain
from lossearch.cards.card import HeldOut, Score
from lossearch.comparison.conditions import Subject, conditions_for, signature_of
from lossearch.comparison.entries import placed
from lossearch.comparison.jobs import RUNS_AT_ONCE, Job, end_function, one_thread, run_job
from lossearch.comparison.tuning_space import Hyperparameters
from lossearch.engine.setup.subject import FoundTask
from lossearch.joint_loss import AnyLoss
from lossearch.tasks.user.config import FunctionConfig, user_task
from lossearch.training.device import usable_device


@dataclass(frozen=True)
class CardTrainings:
    """What trainings gave.

    Attributes:
        metrics: one for each seed; None where a training failed.
        message: of the first failure; otherwise empty.
        steps: of each.
        learning_rate: of all; None for a function that sets its own.
        device: where they ran.
    """

    metrics: tuple[float | None, ...]
    message: str
    steps: int
    learning_rate: float | None
    device: str | None


def placed_on(loss: AnyLoss, at: FoundTask) -> AnyLoss:
    """A loss as it is trained on a task: one of a single slot beside the defaults of the others."""
    return placed(loss, at.subject, at.signature)


def as_default(
    loss: AnyLoss, at: FoundTask, seeds: Sequence[int], steps: int | None, device: str | None
) -> CardTrainings:
    """Train a loss at the learning rate of a task, and the step size of its default loss.

    Raises:
        UserError: it does not fit the task, or a training function has no budget.
    """
    subject, budget = at.subject, at.steps if steps is None else steps
    setting, place = Hyperparameters({}, subject.base_learning_rate), device or at.device or "cpu"
    return _at_step_size(loss, setting, subject, seeds, "validation", budget, place, at.time_limit)


def as_scored(loss: AnyLoss, score: Score, at: FoundTask, device: str) -> CardTrainings:
    """Train a loss as its card says that it was scored."""
    if score.step_scale is None:
        assert score.learning_rate is not None  # see `read_card`
        setting = Hyperparameters({}, score.learning_rate)
        return _at_step_size(loss, setting, at.subject, score.seeds, "validation", score.steps, device, at.time_limit)
    left = FoundCandidate(loss.graph, score.step_scale, score.learning_rate)
    place = None if score.device is None else usable_device(device)
    if isinstance(at.subject, FunctionConfig):
        with user_task(at.subject, at.time_limit, signature_of(loss)) as task:
            outcomes = retrain(task, left, score.steps, score.seeds, at.time_limit, place)
    else:
        with one_thread():
            parts = _parts(score.seeds)
            outcomes = [one for part in parts for one in retrain(at.subject, left, score.steps, part, None, place)]
    message = next((f"{one.status}: {one.message}" for one in outcomes if metric_of(one) is None), "")
    return CardTrainings(tuple(map(metric_of, outcomes)), message, score.steps, score.learning_rate, place)


def on_test(loss: AnyLoss, table: HeldOut, at: FoundTask, device: str) -> CardTrainings:
    """Train a loss as a comparison tuned it, and judge it on the test split, which this opens."""
    assert table.relative_rate is not None  # see `verify`
    setting = Hyperparameters(table.parameters, table.relative_rate)
    return _at_step_size(
        loss, setting, at.subject, table.seeds, "test", table.steps, device, at.time_limit, table.backend
    )


def _at_step_size(
    loss: AnyLoss,
    setting: Hyperparameters,
    subject: Subject,
    seeds: Sequence[int],
    split: Literal["validation", "test"],
    steps: int | None,
    device: str,
    time_limit: float | None,
    backend: str = "stacked",
) -> CardTrainings:
    purpose = "compare" if split == "test" else "tune"
    known = conditions_for(subject, purpose, signature_of(loss), steps, backend, device, time_limit, loss.name)
    try:
        with subject.open_test(by="verify") if split == "test" else nullcontext() as opened:
            jobs = [Job.of(loss, [setting], part, known, split, opened) for part in _parts(seeds)]
            results = [one for job in jobs for one in run_job(job)]
    finally:
        end_function()
    message = next((one.message for one in results if one.message), "")
    metrics = tuple(value for one in results for value in one.metrics)
    return CardTrainings(metrics, message, known.steps, setting.learning_rate, known.device)


def _parts(seeds: Sequence[int]) -> list[tuple[int, ...]]:
    """The seeds of one stack of trainings each."""
    return [tuple(seeds[start : start + RUNS_AT_ONCE]) for start in range(0, len(seeds), RUNS_AT_ONCE)]
