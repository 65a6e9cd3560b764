"""Whether a task tells a good loss from a bad one: `python -m lossearch.experiments.benchmarks.task_spread TASK`.

Trains hand-designed losses at one step size, that of the task's default loss, with the same seeds, and prints how they
end on validation data, and the spread between best and worst beside the noise floor of the best. An untrained network
comes first: a spread below it tells which losses do harm, and not which are good.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Collection

import numpy as np
import torch

from lossearch import zoo
from lossearch.comparison.statistics import bootstrap_interval, noise_floor
from lossearch.ir.core.signature import get_signature
from lossearch.tasks import build_task
from lossearch.tasks.base import only_slot
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.loss_buffers import loss_buffers
from lossearch.training.plan import Run
from lossearch.training.seeds import first
from lossearch.training.slot_losses import SlotLosses, times
from lossearch.training.step_size import step_scale
from lossearch.training.train import train
from lossearch.training.untrained import initial_inputs
from lossearch.zoo.named import graph_of

LOSSES = (
    "cross_entropy",
    "weighted_cross_entropy",
    "logit_adjustment",
    "focal",
    "brier",
    "probability_mae",
    "dice",
    "tversky(alpha=0.3, beta=0.7)",
    "lovasz_softmax",
    "cross_entropy_dice",
)

_NO_STEP = 1e-12
"""A learning rate at which nothing is learned."""


def _usable(signature: str, given: Collection[str]) -> list[str]:
    """The hand-designed losses of a signature that are made with nothing but what the task gives."""
    buffers = [declared.name for declared in get_signature(signature).buffers]
    return [
        n for n in zoo.names(signature=signature) if not any(b not in given and graph_of(n).uses(b) for b in buffers)
    ]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("task")
    parser.add_argument("losses", nargs="*", help="by default ten of the dense family, all of another signature")
    parser.add_argument("--seeds", type=int, default=10)
    given = parser.parse_args()
    torch.set_num_threads(1)
    task = build_task(given.task)
    slot, losses = only_slot(task), SlotLosses(task)
    one = task.slots[slot]
    print(task.describe(), flush=True)
    inputs = initial_inputs(task)[slot]
    reference = GraphLoss(graph_of(one.default), loss_buffers(task, slot))
    seeds = first("tuning", given.seeds)
    found: dict[str, np.ndarray] = {}
    start = time.perf_counter()
    untrained = train(task, [Run(losses.with_({slot: reference}), _NO_STEP, seed) for seed in seeds], 1)
    start_values = [outcome.metric for outcome in untrained if outcome.metric is not None]
    print(f"| untrained network | {np.mean(start_values):.4f} | |", flush=True)
    names = given.losses or (LOSSES if one.signature == "dense" else _usable(one.signature, loss_buffers(task, slot)))
    for name in names:
        loss = GraphLoss(graph_of(name), loss_buffers(task, slot))
        rate, factor = task.base_learning_rate, 1.0
        if losses.several:  # the learning rate is that of the other slots, too
            factor = step_scale(loss, reference, inputs)
        elif task.config.optimizer == "sgd":  # Adam divides by the gradient's size itself
            rate *= step_scale(loss, reference, inputs)
        outcomes = train(task, [Run(losses.with_({slot: times(loss, factor)}), rate, seed) for seed in seeds])
        values = np.array([np.nan if outcome.metric is None else outcome.metric for outcome in outcomes])
        interval = bootstrap_interval(values)
        found[name] = values
        print(f"| {name} | {values.mean():.4f} | {interval.low:.4f} to {interval.high:.4f} |", flush=True)
    means = {name: float(values.mean()) for name, values in found.items()}
    best, worst = (choose(means, key=means.__getitem__) for choose in (max, min))
    if not task.metric.higher_is_better:
        best, worst = worst, best
    spread, floor = abs(means[best] - means[worst]), noise_floor(found[best])
    seconds = (time.perf_counter() - start) / (len(found) * len(seeds))
    print(f"spread {spread:.4f} from {best} to {worst}; noise floor {floor:.4f}; ratio {spread / floor:.1f}")
    print(f"{seconds:.1f} s a training")


if __name__ == "__main__":
    main()
