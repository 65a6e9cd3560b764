"""Training a task's model under many losses at once, each run as if it were alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from lossearch.errors import UserError
from lossearch.tasks.described import DescribedTask, Split
from lossearch.tasks.distribution.task import DistributionTask
from lossearch.tasks.outcome import Outcome, Status, is_out_of_memory
from lossearch.training.across_tasks import train_members
from lossearch.training.plan import Plan, Promote, Run
from lossearch.training.stacked_models import Device
from lossearch.training.trainer import Trainer


def train(
    task: DescribedTask,
    runs: Sequence[Run],
    steps: int | None = None,
    *,
    device: Device = "cpu",
    split: Literal["validation", "train"] | Split = "validation",
    eval_every: int | None = None,
    time_limit: float | None = None,
    rungs: Sequence[float] = (),
    promote: Promote | None = None,
) -> list[Outcome]:
    """Train the task's model once per run, all runs simultaneously, and evaluate each.

    Weights are stacked and no operation mixes runs, so each run ends as if it had been trained alone (up to
    rounding), and one that diverges or raises leaves the others as they are. Runs of a task that is not stackable
    are trained one after the other. The same arguments give bitwise the same metrics, on one device with one number
    of threads, for losses that draw no random numbers.

    Where the task resamples, each run trains and is evaluated on the splits that its seed draws; samples that are
    passed as `split` are the same for all.

    The metric is that of the last step: no step is picked by looking at the split.

    Args:
        task: data, model, metrics, optimiser and schedule.
        runs: losses with learning rates and seeds.
        steps: optimiser steps of a full training, over which the schedule runs; None takes the task's budget.
        device: where to train.
        split: what to evaluate on: "validation", "train", or samples, such as an opened test split.
        eval_every: steps between evaluations for the curve; None evaluates at rungs and at the end only.
        time_limit: seconds after which every run that has not ended gets the status TIMEOUT; looked at
            between steps.
        rungs: fractions of `steps`, in (0, 1), ascending, at which all runs are evaluated; of a distribution fractions
            of its tasks (`lossearch.training.across_tasks`).
        promote: called at each rung with the step and the metric of every run (None where it has ended); says
            which runs go on. The others end with the status OK and the metric of that rung. None promotes
            all.

    Returns:
        One outcome per run, in order. If the whole stack does not fit into memory it is trained in halves
        (unless `promote` is given, which has to see all runs: then those under way end with OUT_OF_MEMORY).

    Raises:
        UserError: steps, rungs or a learning rate are out of range, or the split has no such name.
        ValueError: `promote` answers for another number of runs.
    """
    if isinstance(task, DistributionTask):
        _check(task, runs, task.budget if steps is None else steps, eval_every)
        if split != "validation":
            raise UserError(f"validation data, on the tasks of {task.name}", "another split", "leave it out")
        _check_rungs(rungs)
        return train_members(task, runs, steps, train, device, rungs, promote, time_limit=time_limit)
    steps = task.budget if steps is None else steps
    _check(task, runs, steps, eval_every)
    plan = Plan(steps, _rung_steps(rungs, steps), eval_every, time_limit)
    if not runs:
        return []
    chosen = _choose_split(task, split)
    if not task.stackable:
        trainers = [Trainer(task, [run], plan, device, chosen) for run in runs]
        _train_in_turn(trainers, promote)
        return [outcome for trainer in trainers for outcome in trainer.outcomes()]
    trainer = Trainer(task, runs, plan, device, chosen)
    try:
        _advance([trainer], promote)
        return trainer.outcomes()
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if len(runs) == 1 or promote is not None:
            trainer.give_up(Status.OUT_OF_MEMORY, f"{len(runs)} runs at once: {error}")
            return trainer.outcomes()
    del trainer  # its memory is wanted by the halves
    settings = {
        "device": device,
        "split": split,
        "eval_every": eval_every,
        "time_limit": time_limit,
        "rungs": rungs,
    }
    half = len(runs) // 2
    return [*train(task, runs[:half], steps, **settings), *train(task, runs[half:], steps, **settings)]


def _train_in_turn(trainers: Sequence[Trainer], promote: Promote | None) -> None:
    if promote is not None:
        _advance(trainers, promote)
        return
    for trainer in trainers:
        _advance([trainer], None)


def _advance(trainers: Sequence[Trainer], promote: Promote | None) -> None:
    """Train to the end of the plan, from rung to rung where `promote` says which runs go on."""
    plan = trainers[0].plan
    rungs = [] if promote is None else sorted(plan.rungs - {plan.steps})
    for rung in rungs:
        for trainer in trainers:
            _advance_one(trainer, rung, len(trainers))
        metrics = [metric for trainer in trainers for metric in trainer.metrics()]
        if promote is None or all(metric is None for metric in metrics):
            return
        answer = list(promote(rung, metrics))
        if len(answer) != len(metrics):
            raise ValueError(f"promote answered for {len(answer)} runs of {len(metrics)}")
        for trainer in trainers:
            own, answer = answer[: len(trainer.records)], answer[len(trainer.records) :]
            trainer.stop(own)
    for trainer in trainers:
        _advance_one(trainer, plan.steps, len(trainers))


def _advance_one(trainer: Trainer, step: int, trainers: int) -> None:
    try:
        trainer.advance(step)
    except Exception as error:
        if trainers == 1 or not is_out_of_memory(error):
            raise
        trainer.give_up(Status.OUT_OF_MEMORY, str(error))


def _check(task: DescribedTask, runs: Sequence[Run], steps: int, eval_every: int | None) -> None:
    for name, value in (("steps", steps), ("eval_every", eval_every)):
        if value is not None and value < 1:
            raise UserError(f"{name} of at least 1", str(value), f"raise {name}")
    for run in runs:
        if not (math.isfinite(run.learning_rate) and run.learning_rate > 0):
            raise UserError("a positive, finite learning rate", str(run.learning_rate), "correct the run")
        if run.losses.keys() != task.slots.keys():
            found = f"losses for {', '.join(run.losses)}"
            raise UserError(f"a loss for each slot of {task.name}: {', '.join(task.slots)}", found, "correct the run")


def _rung_steps(rungs: Sequence[float], steps: int) -> frozenset[int]:
    _check_rungs(rungs)
    return frozenset(math.ceil(rung * steps) for rung in rungs)


def _check_rungs(rungs: Sequence[float]) -> None:
    if any(not 0 < rung < 1 for rung in rungs) or list(rungs) != sorted(set(rungs)):
        raise UserError("rungs in (0, 1), ascending", str(tuple(rungs)), "for example (1/9, 1/3)")


def _choose_split(task: DescribedTask, split: str | Split) -> Callable[[int], Split]:
    if not isinstance(split, str):
        return lambda seed: split
    if split not in ("validation", "train"):
        raise UserError(
            "the split 'validation' or 'train', or images with labels",
            repr(split),
            "a test split is passed as what task.open_test(by='compare') yields",
        )
    place = 1 if split == "validation" else 0
    return lambda seed: task.draw(seed)[place]
