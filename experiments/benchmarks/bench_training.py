"""What training many losses at once saves: `python -m lossearch.experiments.benchmarks.bench_training [--steps N]`.

Prints processor seconds of full trainings of digits_noise on one thread: one run alone against a stack of runs, and a
stack of losses that differ in constants, evaluated in one pass against one module each.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence

import torch

from lossearch import zoo
from lossearch.loss import Loss
from lossearch.tasks import Task
from lossearch.tasks.outcome import Status
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.plan import Run
from lossearch.training.train import train

LEARNING_RATE = 0.05


def constant_losses(count: int) -> list[Loss]:
    """Generalised cross-entropies with `count` values of q."""
    return [zoo.get("generalized_cross_entropy", q=0.1 + 0.8 * rank / count) for rank in range(count)]


def seconds(trainings: Mapping[str, Callable[[], Sequence[Run]]], task: Task, steps: int, rounds: int) -> list[float]:
    """Median processor seconds of each training; all in turn, so that other work meets them alike."""
    taken: dict[str, list[float]] = {name: [] for name in trainings}
    for turn in range(rounds + 1):
        for name, make_runs in trainings.items():
            runs = make_runs()
            start = time.process_time()
            outcomes = train(task, runs, steps if turn else 2)  # the first turn warms up
            elapsed = time.process_time() - start
            if failed := [outcome.message for outcome in outcomes if outcome.status is not Status.OK]:
                raise RuntimeError(f"{name}: {failed[0]}")
            if turn:
                taken[name].append(elapsed)
    return [statistics.median(times) for times in taken.values()]


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--steps", type=int, default=300, help="of each training")
    parser.add_argument("--runs", type=int, default=32, help="in one stack")
    parser.add_argument("--rounds", type=int, default=3, help="of which the median is taken")
    options = parser.parse_args()
    torch.set_num_threads(1)
    count: int = options.runs
    same, different = GraphLoss(zoo.get("cross_entropy").graph), constant_losses(count)
    trainings: dict[str, Callable[[], Sequence[Run]]] = {
        "one run alone": lambda: [Run(same, LEARNING_RATE, 0)],
        f"{count} runs in one stack": lambda: [Run(same, LEARNING_RATE, seed) for seed in range(count)],
        f"{count} constants, one pass": lambda: [Run(GraphLoss(loss.graph), LEARNING_RATE, 0) for loss in different],
        f"{count} constants, a module each": lambda: [Run(loss.to_module(), LEARNING_RATE, 0) for loss in different],
    }
    found = seconds(trainings, Task("digits_noise"), options.steps, options.rounds)
    print(f"{f'{options.steps} steps':<32}{'s':>8}{'s a run':>10}")
    for name, took in zip(trainings, found, strict=True):
        print(f"{name:<32}{took:>8.2f}{took / (1 if name == 'one run alone' else count):>10.3f}")


if __name__ == "__main__":
    main()
