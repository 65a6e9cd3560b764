"""Tuning a loss on validation data: its learning rate and its own parameters, with the same budget for every loss."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import Executor
from contextlib import nullcontext
from dataclasses import dataclass, replace

from lossearch.comparison.conditions import STACKED, Conditions, Subject, conditions_for, signature_of
from lossearch.comparison.jobs import RUNS_AT_ONCE, Job, JobResult
from lossearch.comparison.tuning_space import Edge, Hyperparameters, Point, TuningSpace
from lossearch.comparison.workers import Stages, default_workers, drive, open_executor
from lossearch.errors import UserError
from lossearch.joint_loss import AnyLoss
from lossearch.tasks.base import Metric
from lossearch.training.seeds import first

_HALF_WIDTHS = (0.25, 0.125, 0.0625)  # of the box around the best point, round by round


@dataclass(frozen=True)
class Budget:
    """How much tuning every loss gets: the same number of trainings of the same length, with the same seeds.

    Attributes:
        trials: points tried, half of them all over the space, the others in rounds around the best so far.
        seeds: trainings per trial.
        final_seeds: further trainings of each finalist, the best quarter of the trials, before one is chosen:
            choosing by few seeds would choose luck.
    """

    trials: int = 48
    seeds: int = 2
    final_seeds: int = 4

    def __post_init__(self) -> None:
        for name, least in (("trials", 2), ("seeds", 1), ("final_seeds", 0)):
            if getattr(self, name) < least:
                raise UserError(f"{name} of at least {least}", str(getattr(self, name)), f"raise {name}")

    @property
    def finalists(self) -> int:
        """How many trials are trained with further seeds."""
        return max(1, self.trials // 4)

    @property
    def runs(self) -> int:
        """Trainings in all."""
        return self.trials * self.seeds + self.finalists * self.final_seeds

    @property
    def first_seeds(self) -> tuple[int, ...]:
        """Seeds of every trial."""
        return first("tuning", self.seeds)

    @property
    def further_seeds(self) -> tuple[int, ...]:
        """Seeds that only finalists are trained with."""
        return first("tuning", self.seeds + self.final_seeds)[self.seeds :]


@dataclass(frozen=True)
class Trial:
    """One point and how it fared.

    Attributes:
        point: coordinates in the space.
        setting: parameters and relative learning rate there.
        learning_rate: effective learning rate.
        step_scale: see `lossearch.training.step_size`.
        metrics: on validation, one per seed; None where a training failed.
        message: of the first failure; otherwise empty.
    """

    point: Point
    setting: Hyperparameters
    learning_rate: float
    step_scale: float
    metrics: tuple[float | None, ...]
    message: str = ""

    @property
    def metric(self) -> float | None:
        """Mean over seeds; None if any training failed, since a loss that fails now and then is not usable."""
        values = [value for value in self.metrics if value is not None]
        return sum(values) / len(values) if values and len(values) == len(self.metrics) else None


@dataclass(frozen=True)
class Tuned:
    """A loss with the best settings found.

    Attributes:
        loss: with its best parameters bound.
        learning_rate: effective; that of the task where every trial failed.
        setting: parameters and relative learning rate, from which a worker finds the effective one again.
        validation: metric of the best trial, mean over its seeds; None where every trial failed.
        trials: all of them, in the order in which they were tried.
        at_edge: what lies at an edge of its range even so, at its bounds or after the last extension:
            `learning_rate` or a parameter, with the side, "low" or "high". No better value was tried beyond it.
        task: name of the task.
        metric: what the trials were ranked by.
    """

    loss: AnyLoss
    learning_rate: float
    setting: Hyperparameters
    validation: float | None
    trials: tuple[Trial, ...]
    at_edge: Mapping[str, Edge]
    task: str
    metric: Metric

    @property
    def runs(self) -> int:
        """Trainings that went into it."""
        return sum(len(trial.metrics) for trial in self.trials)

    @property
    def message(self) -> str:
        """Why every trial failed; empty where one succeeded."""
        return "" if self.validation is not None else next(trial.message for trial in self.trials)


def tune(
    loss: AnyLoss,
    task: Subject,
    budget: Budget | None = None,
    *,
    steps: int | None = None,
    backend: str = STACKED,
    device: str = "cpu",
    time_limit: float | None = None,
    workers: int | None = None,
    executor: Executor | None = None,
) -> Tuned:
    """Find the learning rate and the parameters with which a loss serves the task best, on validation data.

    Learning rates are relative to the size of the loss's gradient, so that every loss starts from the same range:
    3.6 decades around the learning rate of the task. Parameters start from the ranges that they declare to search.
    A range whose edge wins is extended, a parameter's towards its bounds. An extension takes the points of a later
    round, which then lie past the edge instead of on both sides of the best one: the budget is the same for every
    loss, whether its ranges are extended or not.
    The test split is never opened. The result depends on nothing but the loss, the task and the settings, in
    particular not on the number of workers.

    Args:
        loss: its `tunable` parameters are tuned, never beyond their bounds.
        task: what to train.
        budget: how many trainings.
        steps: optimiser steps of each training, or the budget that a function is called with; None takes the task's.
        backend: how losses are evaluated, see `lossearch.comparison.jobs.Conditions`.
        device: where to train; "auto" takes a GPU where this machine has one.
        time_limit: seconds for one call of a function.
        workers: processes; None takes one per core.
        executor: runs the jobs instead of own processes, for example on a cluster.

    Raises:
        UserError: a setting is out of range, or a worker process was killed.
    """
    conditions = conditions_for(task, "tune", signature_of(loss), steps, backend, device, time_limit, loss.name)
    workers = default_workers() if workers is None else workers
    with open_executor(workers) if executor is None else nullcontext(executor) as pool:
        ((_, tuned),) = drive({loss.name: lambda: tuning(loss, budget or Budget(), conditions)}, pool, workers)
    return tuned


def tuning(loss: AnyLoss, budget: Budget, conditions: Conditions) -> Stages[Tuned]:
    """The stages of one tuning, for `lossearch.comparison.workers.drive`."""
    space, higher = _space(loss, conditions), conditions.metric.higher_is_better
    trials: list[Trial] = []
    sizes = _round_sizes(budget.trials) if space.names else [1]  # with nothing to tune, others would be the same
    for round_, size in enumerate(sizes):
        points = space.first_points(size) if round_ == 0 else _points_around_best(space, trials, higher, round_, size)
        jobs = list(_jobs(loss, [space.setting(point) for point in points], budget.first_seeds, conditions))
        trained = [result for results in (yield jobs) for result in results]
        trials += [_trial(space, point, result) for point, result in zip(points, trained, strict=True)]
    if budget.final_seeds:
        finalists = rank(trials, higher)[: budget.finalists]
        jobs = list(_jobs(loss, [trials[k].setting for k in finalists], budget.further_seeds, conditions))
        trained = [result for results in (yield jobs) for result in results]
        for k, result in zip(finalists, trained, strict=True):
            trials[k] = _with_more_seeds(trials[k], result)
    return tuned_from(loss, trials, conditions)


def tuned_from(loss: AnyLoss, trials: Sequence[Trial], conditions: Conditions) -> Tuned:
    """What a tuning found, from its trials."""
    space, told = _space(loss, conditions), (conditions.config.name, conditions.metric)
    best = _choose(trials, conditions.metric.higher_is_better)
    if best.metric is None:
        setting = space.setting(space.default)
        return Tuned(loss, setting.learning_rate, setting, None, tuple(trials), {}, *told)
    bound, at_edge = loss.bind(**best.setting.parameters), space.edges(best.point, [trial.point for trial in trials])
    return Tuned(bound, best.learning_rate, best.setting, best.metric, tuple(trials), at_edge, *told)


def rank(trials: Sequence[Trial], higher_is_better: bool) -> list[int]:
    """Indices of the trials, best first; failed ones last; of equal ones the earlier first."""
    sign = -1.0 if higher_is_better else 1.0
    keys = [(1, 0.0) if trial.metric is None else (0, sign * trial.metric) for trial in trials]
    return sorted(range(len(trials)), key=keys.__getitem__)


def _space(loss: AnyLoss, conditions: Conditions) -> TuningSpace:
    return TuningSpace.of(loss.parameters, conditions.base_learning_rate, conditions.learning_rate_tuned)


def _choose(trials: Sequence[Trial], higher_is_better: bool) -> Trial:
    """The best of the trials with most seeds that did not fail."""
    sound = [trial for trial in trials if trial.metric is not None] or list(trials)
    most = max(len(trial.metrics) for trial in sound)
    judged = [trial for trial in sound if len(trial.metrics) == most]
    return judged[rank(judged, higher_is_better)[0]]


def _round_sizes(trials: int) -> list[int]:
    """Half of the trials in the first round, the others in equal rounds after it, as nearly as it goes."""
    first = trials - trials // 2
    quotient, remainder = divmod(trials - first, len(_HALF_WIDTHS))
    later = [quotient + (index < remainder) for index in range(len(_HALF_WIDTHS))]
    return [first, *(size for size in later if size)]


def _points_around_best(
    space: TuningSpace, trials: Sequence[Trial], higher_is_better: bool, round_: int, size: int
) -> list[Point]:
    best = trials[rank(trials, higher_is_better)[0]]
    tried = [trial.point for trial in trials]
    if best.metric is None and not space.tunes_rate:
        return space.points_around((0.5,) * len(space.names), 0.5, size, {}, len(tried))
    if best.metric is None:  # nothing trains yet: only a smaller step can help
        lowest = (min(point[0] for point in tried), *space.default[1:])
        return space.points_around(lowest, _HALF_WIDTHS[0], size, {"learning_rate": "low"}, len(tried))
    return space.points_around(best.point, _HALF_WIDTHS[round_ - 1], size, space.edges(best.point, tried), len(tried))


def _jobs(
    loss: AnyLoss, settings: Sequence[Hyperparameters], seeds: tuple[int, ...], conditions: Conditions
) -> Iterator[Job]:
    # The same stacks whatever the number of workers, since a run's last bits depend on its stack.
    size = max(1, RUNS_AT_ONCE // len(seeds))
    for start in range(0, len(settings), size):
        yield Job.of(loss, settings[start : start + size], seeds, conditions)


def _trial(space: TuningSpace, point: Point, trained: JobResult) -> Trial:
    setting = space.setting(point)
    return Trial(point, setting, trained.learning_rate, trained.step_scale, trained.metrics, trained.message)


def _with_more_seeds(trial: Trial, trained: JobResult) -> Trial:
    return replace(trial, metrics=trial.metrics + trained.metrics, message=trial.message or trained.message)
