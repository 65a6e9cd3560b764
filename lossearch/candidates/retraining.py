"""Training a candidate again, as the search left it: its constants, step scale and learning rate stay as they are."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from lossearch.ir.core.joint import AnyGraph, by_slot
from lossearch.tasks.outcome import Outcome, Status
from lossearch.tasks.user.task import UserTask
from lossearch.training.function_trainer import loss_factory
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.loss_buffers import loss_buffers
from lossearch.training.plan import Run
from lossearch.training.slot_losses import SlotLosses
from lossearch.training.train import train
from lossearch.training.untrained import AnyTask


@dataclass(frozen=True)
class FoundCandidate:
    """A candidate as the search left it.

    Attributes:
        graph: with its tuned constants; that of a user's function holds its step scale, too.
        step_scale: by which a bundled task multiplies the loss.
        learning_rate: that was best; None takes the task's, or the function's own.
    """

    graph: AnyGraph
    step_scale: float
    learning_rate: float | None


def retrain(
    task: AnyTask,
    found: FoundCandidate,
    steps: int,
    seeds: Sequence[int],
    time_limit: float | None,
    device: str | None = "cpu",
    factors: Sequence[float] | None = None,
) -> list[Outcome]:
    """Train a candidate once per seed, and evaluate it on validation data.

    A bundled task trains all seeds in one stack, a user's function is called once for each.

    Args:
        task: with train and validation splits.
        found: the candidate.
        steps: of each training, over which the schedule runs; the budget that a user's function is called with.
        seeds: of initial weights and data order, and of the splits where the task resamples.
        time_limit: seconds for one stacked training; a user's function has its own (`UserTask`).
        device: where to train; a user's function that is given None decides by itself.
        factors: on the learning rate with each seed; None for 1. A user's function takes none.
    """
    if isinstance(task, UserTask):
        return _called(task, found, steps, seeds, device)
    place = device or "cpu"
    graphs = by_slot(found.graph, task.searched[0])
    own = {slot: GraphLoss(one, loss_buffers(task, slot)).to(place) for slot, one in graphs.items()}
    scaled = {slot: loss.scaled(found.step_scale) for slot, loss in own.items()}
    losses = SlotLosses(task, place).with_(scaled)
    rate = task.base_learning_rate if found.learning_rate is None else found.learning_rate
    moved = [1.0] * len(seeds) if factors is None else factors
    runs = [Run(losses, rate * factor, seed) for seed, factor in zip(seeds, moved, strict=True)]
    return train(task, runs, steps, device=place, time_limit=time_limit)


def _called(
    task: UserTask, found: FoundCandidate, steps: int, seeds: Sequence[int], device: str | None
) -> list[Outcome]:
    factory = loss_factory(found.graph)
    given: dict[str, Any] = {} if found.learning_rate is None else {"learning_rate": found.learning_rate}
    given |= {} if device is None else {"device": device}
    return [task.evaluate(factory, steps, seed, **given) for seed in seeds]


def metric_of(outcome: Outcome) -> float | None:
    """The metric of a training that ended well with a finite one."""
    metric = outcome.metric
    return metric if outcome.status is Status.OK and metric is not None and math.isfinite(metric) else None
