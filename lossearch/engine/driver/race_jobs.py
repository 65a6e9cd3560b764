"""Trainings of the final race as jobs, whose results do not depend on the process that does them."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from functools import lru_cache

from lossearch.archive.records import RaceTraining
from lossearch.candidates.retraining import Found, metric_of, retrain
from lossearch.comparison.jobs import one_thread
from lossearch.comparison.workers import default_workers
from lossearch.engine.setup.config import SearchConfig
from lossearch.engine.setup.parts import TaskFacts, make_task
from lossearch.ir.core.primitive import PRIMITIVES
from lossearch.ir.forms.json import graph_from_dict, loads
from lossearch.tasks import ClassificationTask, UserTask

_LONGEST_MESSAGE = 2000


@dataclass(frozen=True)
class RaceJob:
    """Trainings of one candidate.

    Attributes:
        config: of the search, in JSON; its time limit is that of these trainings.
        python_path: folders from which the user's code can be imported.
        key: of the candidate in the archive.
        graph: in JSON.
        step_scale, learning_rate: see `Found`.
        task: its name in the archive.
        steps: of each training.
        seeds: one training each.
    """

    config: str
    python_path: tuple[str, ...]
    key: str
    graph: str
    step_scale: float
    learning_rate: float | None
    task: str
    steps: int
    seeds: tuple[int, ...]


def run_race_job(job: RaceJob) -> list[RaceTraining]:
    """Train a candidate; one row for each seed."""
    # At the end: a file of the user's must not take the place of a module that others import.
    sys.path.extend(folder for folder in job.python_path if folder not in sys.path)
    PRIMITIVES.extend()
    found = Found(graph_from_dict(loads(job.graph)), job.step_scale, job.learning_rate)
    with one_thread():
        task, limit, device = _task(job.config)
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
        )
        for seed, outcome in zip(job.seeds, outcomes, strict=True)
    ]


@lru_cache(maxsize=1)
def _task(config: str) -> tuple[ClassificationTask | UserTask, float | None, str | None]:
    """The task, the time limit of a training, and where to train."""
    parsed = SearchConfig.parse_json(config, "the search")
    return make_task(parsed), parsed.evaluation.time_limit_s, parsed.evaluation.device


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
