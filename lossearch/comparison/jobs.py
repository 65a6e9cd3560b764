"""Trainings of one loss with several settings, as jobs whose results do not depend on the process that does them."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import lru_cache
from typing import Any, Literal

import numpy.typing as npt
import torch

from lossearch.comparison.conditions import STACKED, Conditions
from lossearch.comparison.tuning_space import Hyperparameters
from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.joint import by_slot
from lossearch.ir.core.scale import round_to_digits
from lossearch.joint_loss import AnyLoss, loss_from_json, loss_of
from lossearch.loss import Loss
from lossearch.tasks.catalogue import build_task
from lossearch.tasks.described import DescribedTask, Split
from lossearch.tasks.outcome import Outcome, Status
from lossearch.tasks.user.config import FunctionConfig, user_task
from lossearch.tasks.user.first_calls import FirstCalls
from lossearch.training.function_trainer import FunctionTrainer, default_losses
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.loss_buffers import loss_buffers
from lossearch.training.plan import LossFunction, Run
from lossearch.training.slot_losses import SlotLosses, times
from lossearch.training.step_size import step_scale
from lossearch.training.train import train
from lossearch.training.untrained import initial_inputs
from lossearch.zoo.named import graph_of

RUNS_AT_ONCE = 24
"""Trainings in one stack: enough to share the cost of each operation, few enough to stay in a CPU's cache."""


@dataclass(frozen=True)
class Job:
    """Trainings of one loss: every setting with every seed, all in one stack.

    Attributes:
        loss: JSON form of a loss, or of the losses of several slots, with primitives expanded, so that a worker need
            not know a user's own ones.
        settings: what to train with.
        seeds: of initial weights and data order, and of the splits where the task resamples.
        conditions: task, steps, backend, device.
        split: what is evaluated on.
        test: a described task's test split by name, in the one phase that looks at it. As arrays, since tensors would
            cross process borders in shared memory, which containers often keep small.
    """

    loss: str
    settings: tuple[Hyperparameters, ...]
    seeds: tuple[int, ...]
    conditions: Conditions
    split: Literal["validation", "test"] = "validation"
    test: Mapping[str, npt.NDArray[Any]] | None = None

    @classmethod
    def of(
        cls,
        loss: AnyLoss,
        settings: Sequence[Hyperparameters],
        seeds: Sequence[int],
        conditions: Conditions,
        split: Literal["validation", "test"] = "validation",
        test: Split | None = None,
    ) -> Job:
        """The job of training a loss; `test` is a described task's test split, where it is judged on that."""
        expanded = loss_of(loss.graph.expanded(), loss.name, loss.source)
        arrays = None if test is None else {name: tensor.numpy() for name, tensor in test.tensors.items()}
        return cls(expanded.to_json(), tuple(settings), tuple(seeds), conditions, split, arrays)


@dataclass(frozen=True)
class JobResult:
    """How one setting fared.

    Attributes:
        learning_rate: effective: the relative one times `step_scale`. Of a user's function the factor that it is given,
            of a task with several slots that of the optimiser; there the loss is multiplied by `step_scale`.
        step_scale: by which factor the loss's gradient is smaller than that of the slot's default loss at the
            predictions of the untrained network; 0 where it has no finite gradient there, 1 for losses of several
            slots, each of which is multiplied by its own.
        metrics: one per seed; None where a training failed.
        message: of the first failure; otherwise empty.
        all_metrics: of each training that ended well all metrics that it gave, by name, the ranking one among them.
    """

    learning_rate: float
    step_scale: float
    metrics: tuple[float | None, ...]
    message: str = ""
    all_metrics: tuple[dict[str, float], ...] = ()


def run_job(job: Job) -> list[JobResult]:
    """Train every setting of a job; one result per setting."""
    if isinstance(job.conditions.config, FunctionConfig):
        return run_function_job(job)
    with one_thread():
        task, loss = _task(job.conditions), loss_from_json(job.loss)
        others = SlotLosses(task, job.conditions.device)
        settings = [_scaled(loss.bind(**s.parameters), s.learning_rate, task, job.conditions) for s in job.settings]
        runs = [Run(others.with_(s.losses), s.rate, seed) for s in settings if s.usable for seed in job.seeds]
        outcomes = iter(train(task, runs, job.conditions.steps, device=job.conditions.device, split=_split(job)))
    return [
        _trained(s.rate, s.scale, [next(outcomes) for _ in job.seeds]) if s.usable else _without_gradient(job)
        for s in settings
    ]


@dataclass(frozen=True)
class _Scaled:
    """One setting at the step size of the defaults: losses by slot, the optimiser's learning rate, and `step_scale`."""

    losses: Mapping[str, LossFunction]
    rate: float
    scale: float
    usable: bool


def _scaled(loss: AnyLoss, relative_rate: float, task: DescribedTask, conditions: Conditions) -> _Scaled:
    """A loss at a relative learning rate.

    The learning rate is that of all slots: on a task with several, losses themselves are scaled instead.
    """
    graphs = by_slot(loss.graph, task.searched[0])
    functions = {slot: loss_function(graph, slot, task, conditions, loss.name) for slot, graph in graphs.items()}
    scales = {slot: _scale(slot, function, task) for slot, function in functions.items()}
    scale = next(iter(scales.values())) if len(scales) == 1 else 1.0
    several = len(task.slots) > 1
    rate = round_to_digits(relative_rate * (1.0 if several else scale))
    usable = 0 < rate < math.inf and all(0 < one < math.inf for one in scales.values())
    if several and usable:
        functions = {slot: times(function, scales[slot]) for slot, function in functions.items()}
    return _Scaled(functions, rate, scale, usable)


def run_function_job(job: Job) -> list[JobResult]:
    """Call a user's function for every setting and seed; a loss that fails with one seed has failed."""
    loss, trainer = loss_from_json(job.loss), _function(job.conditions)
    return [_call_function(loss.bind(**setting.parameters), setting, trainer, job) for setting in job.settings]


def _call_function(loss: AnyLoss, setting: Hyperparameters, trainer: FunctionTrainer, job: Job) -> JobResult:
    try:
        scaled = trainer.scaled(loss.graph.frozen())
    except UserError as error:  # the loss refuses what the function gives it
        return JobResult(0.0, 0.0, (None,) * len(job.seeds), f"{Status.ERROR}: {error}")
    if scaled is None:
        return _without_gradient(job)
    rate = round_to_digits(setting.learning_rate)
    given = {"learning_rate": rate, "split": job.split, "device": job.conditions.device}
    outcomes = trainer.train(scaled.graph, job.seeds, **given)
    found = _trained(rate, scaled.scale, outcomes)
    return replace(found, metrics=found.metrics + (None,) * (len(job.seeds) - len(outcomes)))


def end_function() -> None:
    """End the process that runs a user's function for this one, if there is one."""
    _function.cache_clear()


@lru_cache(maxsize=1)
def _function(conditions: Conditions) -> FunctionTrainer:
    """What trains under these conditions in this process, with the process that it runs the function in."""
    assert isinstance(conditions.config, FunctionConfig)
    task = user_task(conditions.config, conditions.time_limit, conditions.signature)
    return FunctionTrainer(task, default_losses(task), conditions.steps, FirstCalls.loads(conditions.first_call))


def _trained(rate: float, scale: float, outcomes: Sequence[Outcome]) -> JobResult:
    message = next((f"{o.status}: {o.message}" for o in outcomes if o.metric is None), "")
    all_metrics = tuple(dict(outcome.metrics) for outcome in outcomes)
    return JobResult(rate, scale, tuple(outcome.metric for outcome in outcomes), message, all_metrics)


def _without_gradient(job: Job) -> JobResult:
    message = f"{Status.DIVERGED}: the gradient at the initial predictions is zero or not finite"
    return JobResult(0.0, 0.0, (None,) * len(job.seeds), message)


def loss_function(graph: Graph, slot: str, task: DescribedTask, conditions: Conditions, name: str) -> LossFunction:
    """A slot's loss as a callable for training, with what the task gives it at construction, such as class weights."""
    used = {name: x.to(conditions.device) for name, x in loss_buffers(task, slot).items() if graph.uses(name)}
    if conditions.backend == STACKED:
        return GraphLoss(graph, used)
    module = Loss(name, graph).to_module(backend=conditions.backend, reduction="mean", buffers=used)
    return module.to(conditions.device)


@contextmanager
def one_thread() -> Iterator[None]:
    """One torch thread, as another number would change the last bits of the results."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@lru_cache(maxsize=1)
def _task(conditions: Conditions) -> DescribedTask:
    assert not isinstance(conditions.config, FunctionConfig)
    return build_task(conditions.config)


def _scale(slot: str, function: LossFunction, task: DescribedTask) -> float:
    # Adam's steps do not depend on the size of the gradient, if it is that of one loss alone.
    if task.config.optimizer != "sgd" and len(task.slots) == 1:
        return 1.0
    reference = GraphLoss(graph_of(task.slots[slot].default), loss_buffers(task, slot))
    return step_scale(function, reference, initial_inputs(task)[slot])


def _split(job: Job) -> Split | Literal["validation"]:
    if job.test is None:
        return "validation"
    return Split({name: torch.from_numpy(array) for name, array in job.test.items()})
