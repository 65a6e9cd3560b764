"""Trainings of the final race as jobs, whose results do not depend on the process that does them."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

from lossearch.archive.margins import MovedTraining
from lossearch.archive.records import RaceTraining
from lossearch.candidates.retraining import FoundCandidate, metric_of, retrain
from lossearch.comparison.workers import default_workers
from lossearch.engine.island.watchdog import Watchdog
from lossearch.engine.remote.equipment import Equipment, equip, visible_gpus
from lossearch.engine.setup.config import SearchConfig
from lossearch.engine.setup.parts import TaskFacts, hang_limit, make_task
from lossearch.ir.forms.joint import any_from_json
from lossearch.tasks import DescribedTask, Status
from lossearch.training.device import usable_device
from lossearch.training.untrained import AnyTask
from lossearch.training.untrained_metric import kept_gain, untrained_metrics

_LONGEST_MESSAGE = 2000


@dataclass(frozen=True, kw_only=True)
class _Job:
    """Trainings of one candidate.

    Attributes:
        equipment: of the process that trains; the time limit of its configuration is that of these trainings.
        key: of the candidate in the archive.
        graph: in JSON.
        step_scale, learning_rate: see `FoundCandidate`.
        task: its name in the archive.
        steps: of each training.
    """

    equipment: Equipment
    key: str
    graph: str
    step_scale: float
    learning_rate: float | None
    task: str
    steps: int


@dataclass(frozen=True, kw_only=True)
class RaceJob(_Job):
    """Trainings of one candidate with several seeds.

    Attributes:
        seeds: one training each.
    """

    seeds: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class MarginJob(_Job):
    """Trainings of one candidate with one seed at other learning rates.

    Attributes:
        seed: of the race, with which the candidate was trained at its own learning rate.
        own: what that training gave, as (name of a metric, value).
        factors: on the learning rate.
    """

    seed: int
    own: tuple[tuple[str, float], ...]
    factors: tuple[float, ...]


Job = RaceJob | MarginJob
AnyRaceTraining = RaceTraining | MovedTraining


def run_race_job(job: Job) -> list[AnyRaceTraining]:
    """Train a candidate; one row for each seed, or factor."""
    return _moved(job) if isinstance(job, MarginJob) else _raced(job)


def _moved(job: MarginJob) -> list[AnyRaceTraining]:
    task, limit, device = _task(job.equipment, visible_gpus())
    assert isinstance(task, DescribedTask)  # see `lossearch.engine.driver.race`
    found = FoundCandidate(any_from_json(job.graph), job.step_scale, job.learning_rate)
    outcomes = retrain(task, found, job.steps, [job.seed] * len(job.factors), limit, device, job.factors)
    untrained, own = untrained_metrics(task, job.seed, device or "cpu"), dict(job.own)
    return [
        MovedTraining(
            key=job.key,
            task=job.task,
            seed=job.seed,
            budget=job.steps,
            factor=factor,
            metric=metric_of(outcome),
            kept=None if metric_of(outcome) is None else kept_gain(untrained, own, outcome.metrics),
            status=outcome.status.value,
            message=outcome.message[-_LONGEST_MESSAGE:],
            seconds=outcome.seconds,
            device=device,
        )
        for factor, outcome in zip(job.factors, outcomes, strict=True)
    ]


def _raced(job: RaceJob) -> list[AnyRaceTraining]:
    task, limit, device = _task(job.equipment, visible_gpus())
    found = FoundCandidate(any_from_json(job.graph), job.step_scale, job.learning_rate)
    outcomes = retrain(task, found, job.steps, job.seeds, limit, device)
    return [
        RaceTraining(
            key=job.key,
            task=job.task,
            seed=seed,
            budget=job.steps,
            metric=metric_of(outcome),
            # Plain text: to read the enumeration, the archive would have to import PyTorch.
            status=outcome.status.value,
            message=outcome.message[-_LONGEST_MESSAGE:],
            seconds=outcome.seconds,
            metrics=outcome.metrics,
            device=device,
        )
        for seed, outcome in zip(job.seeds, outcomes, strict=True)
    ]


def run_race_task(job: Job) -> list[AnyRaceTraining]:
    """The same in a process of its own, which ends where a training never comes back from a step."""
    config = equip(job.equipment)
    guard = Watchdog(hang_limit(config, _task(job.equipment, visible_gpus())[0]))
    guard(True)
    try:
        return run_race_job(job)
    finally:
        guard(False)


def given_up(job: Job, reason: str) -> list[AnyRaceTraining]:
    """The rows of trainings that did not come to an end."""
    place = {"key": job.key, "task": job.task, "budget": job.steps, "metric": None}
    if isinstance(job, MarginJob):
        moved = {**place, "seed": job.seed, "kept": None, "status": Status.ERROR.value, "message": reason}
        return [MovedTraining(**moved, factor=factor) for factor in job.factors]
    return [RaceTraining(**place, seed=seed, status=Status.ERROR.value, message=reason) for seed in job.seeds]


@lru_cache(maxsize=1)
def _task(equipment: Equipment, gpus: str) -> tuple[AnyTask, float | None, str | None]:
    """The task, the time limit of a training, and where to train, which a user's function may decide (None).

    With other GPUs, a function has another process that calls it.
    """
    config = equip(equipment)
    task, asked = make_task(config), config.evaluation.device
    device = task.default_device if asked is None else usable_device(asked)
    return task, config.evaluation.time_limit_s, device


def race_workers(config: SearchConfig, workers: int | None) -> int:
    """Processes that train: as many as there are islands, at most one per CPU, where it is not said."""
    return workers or min(config.islands or default_workers(), default_workers())


def for_race(config: SearchConfig, facts: TaskFacts) -> SearchConfig:
    """The configuration with a time limit for trainings that may be longer than the search's."""
    limit = config.evaluation.time_limit_s
    if limit is None:
        return config
    longer = limit * max(1.0, facts.full_budget / facts.budget)
    return config.model_copy(update={"evaluation": config.evaluation.model_copy(update={"time_limit_s": longer})})
