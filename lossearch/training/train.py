"""Training a task's model under many losses at once, each run as if it were alone."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Literal

from lossearch.errors import UserError
from lossearch.tasks.classification.task import ClassificationTask
from lossearch.tasks.outcome import Outcome, Status, is_out_of_memory
from lossearch.training.plan import LabelledImages, Plan, Promote, Run
from lossearch.training.stacked_models import Device
from lossearch.training.trainer import Trainer


def train(
    task: ClassificationTask,
    runs: Sequence[Run],
    steps: int | None = None,
    *,
    device: Device = "cpu",
    split: Literal["validation", "train"] | LabelledImages = "validation",
    eval_every: int | None = None,
    time_limit: float | None = None,
    rungs: Sequence[float] = (),
    promote: Promote | None = None,
) -> list[Outcome]:
    """Train the task's model once per run, all runs simultaneously, and evaluate each.

    Weights are stacked and no operation mixes runs, so each run ends as if it had been trained alone (up to
    rounding), and one that diverges or raises leaves the others as they are. The same arguments give bitwise
    the same metrics, on one device with one number of threads, for losses that draw no random numbers.

    Where the task resamples, each run trains and is evaluated on the splits that its seed draws; images with labels
    that are passed as `split` are the same for all.

    The metric is that of the last step: no step is picked by looking at the split.

    Args:
        task: data, model, metric, optimiser and schedule.
        runs: losses with learning rates and seeds.
        steps: optimiser steps of a full training, over which the schedule runs; None takes the task's budget.
        device: where to train.
        split: what to evaluate on: "validation", "train", or images with labels, such as an opened test
            split.
        eval_every: steps between evaluations for the curve; None evaluates at rungs and at the end only.
        time_limit: seconds after which every run that has not ended gets the status TIMEOUT; looked at
            between steps.
        rungs: fractions of `steps`, in (0, 1), ascending, at which all runs are evaluated.
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
    steps = task.config.steps if steps is None else steps
    _check(runs, steps, eval_every)
    plan = Plan(steps, _rung_steps(rungs, steps), eval_every, time_limit)
    if not runs:
        return []
    trainer = Trainer(task, runs, plan, device, _choose_split(task, split))
    try:
        return trainer.train(promote)
    except Exception as error:
        if not is_out_of_memory(error):
            raise
        if len(runs) == 1 or promote is not None:
            return trainer.give_up(Status.OUT_OF_MEMORY, f"{len(runs)} runs at once: {error}")
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


def _check(runs: Sequence[Run], steps: int, eval_every: int | None) -> None:
    for name, value in (("steps", steps), ("eval_every", eval_every)):
        if value is not None and value < 1:
            raise UserError(f"{name} of at least 1", str(value), f"raise {name}")
    for run in runs:
        if not (math.isfinite(run.learning_rate) and run.learning_rate > 0):
            raise UserError("a positive, finite learning rate", str(run.learning_rate), "correct the run")


def _rung_steps(rungs: Sequence[float], steps: int) -> frozenset[int]:
    if any(not 0 < rung < 1 for rung in rungs) or list(rungs) != sorted(set(rungs)):
        raise UserError("rungs in (0, 1), ascending", str(tuple(rungs)), "for example (1/9, 1/3)")
    return frozenset(math.ceil(rung * steps) for rung in rungs)


def _choose_split(task: ClassificationTask, split: str | LabelledImages) -> Callable[[int], LabelledImages]:
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
