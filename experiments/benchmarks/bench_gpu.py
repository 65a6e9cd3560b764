"""What losses and trainings cost on a GPU: `python -m lossearch.experiments.benchmarks.bench_gpu`.

Prints, for losses of the dense family, the time of forward plus backward against the least that the GPU's memory
allows: the bytes of logits, labels and gradient, each read or written once, over a bandwidth that a copy measures. Then
full trainings of digits_noise, many in one stack against one by one. Says so where there is no GPU.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Sequence

import torch

from lossearch import zoo
from lossearch.experiments.benchmarks.rows import ROWS
from lossearch.experiments.benchmarks.rows.row import Row, Size
from lossearch.experiments.benchmarks.timing import Call, interleaved
from lossearch.tasks import Task
from lossearch.tasks.outcome import Status
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.plan import Run
from lossearch.training.train import train

BACKENDS = ("eager", "torchscript", "compile")
_COPIED = 2**28  # float32 numbers, far more than any cache holds
_LEARNING_RATE = 0.05


def bandwidth(device: str) -> float:
    """Bytes a second that a copy reads and writes: the median of 20, each waited for."""
    source = torch.empty(_COPIED, device=device)
    target = torch.empty_like(source)
    times = _times(lambda: target.copy_(source), 20)
    return 2 * source.nbytes / statistics.median(times)


def _times(call: Callable[[], object], rounds: int) -> list[float]:
    taken: list[float] = []
    for turn in range(rounds + 3):
        _wait()
        start = time.perf_counter()
        call()
        _wait()
        if turn >= 3:  # the others warm up
            taken.append(time.perf_counter() - start)
    return taken


def _wait() -> None:
    if torch.cuda.is_available():
        torch.cuda.synchronize()


def least_bytes(call: Call) -> int:
    """What forward plus backward cannot do without: inputs read once, gradients written once."""
    tensors = [x for x in call.arguments if isinstance(x, torch.Tensor)]
    return sum(x.nbytes for x in tensors) + sum(leaf.nbytes for leaf in call.leaves)


def loss_line(row: Row, size: Size, device: str, backends: Sequence[str], rate: float, rounds: int) -> str:
    """A line of the first table: milliseconds of each backend, the least possible, and the best over it."""
    torch.compiler.reset()
    calls = row.calls(size, backends, device)["ours"]
    taken = {name: statistics.median(times) for name, times in interleaved(calls, rounds).items()}
    least = least_bytes(calls[backends[0]]) / rate
    shape = "x".join(map(str, getattr(row.inputs, size)))
    figures = "".join(f"{taken[name] * 1e3:>12.3f}" for name in backends)
    return f"{row.name:34} {shape:>14}{figures}{least * 1e3:>10.3f}{min(taken.values()) / least:>8.1f}"


def population_seconds(count: int, steps: int, device: str) -> tuple[float, float]:
    """Seconds of a training of `count` runs in one stack, and of one after the other."""
    task = Task("digits_noise")
    loss = GraphLoss(zoo.get("cross_entropy").graph)
    runs = [Run(loss, _LEARNING_RATE, seed) for seed in range(count)]

    def trained(parts: Sequence[Sequence[Run]], steps: int) -> float:
        _wait()
        start = time.perf_counter()
        for part in parts:
            outcomes = train(task, part, steps, device=device)
            if failed := [outcome.message for outcome in outcomes if outcome.status is not Status.OK]:
                raise RuntimeError(failed[0])
        _wait()
        return time.perf_counter() - start

    alone = [[run] for run in runs]
    trained([runs], 3)  # warms up
    trained(alone[:1], 3)
    return trained([runs], steps), trained(alone, steps)


def main() -> None:
    """Print both tables, or that there is no GPU."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=50, help="of each loss, interleaved")
    parser.add_argument("--steps", type=int, default=300, help="of each training")
    parser.add_argument("--runs", type=int, nargs="+", default=[8, 32, 128], help="trainings in one stack")
    parser.add_argument("--only", nargs="+", metavar="NAME", help="losses to measure")
    parser.add_argument("--size", choices=("tiny", "small", "large"), default="large")
    parser.add_argument("--no-inductor", action="store_true", help="leave out torch.compile")
    options = parser.parse_args()
    if not torch.cuda.is_available():
        print(f"no GPU that PyTorch {torch.__version__} can use on this machine: nothing was measured")
        return
    device, backends = "cuda", BACKENDS[:2] if options.no_inductor else BACKENDS
    rate = bandwidth(device)
    print(f"{torch.cuda.get_device_name()}, torch {torch.__version__}: a copy moves {rate / 1e9:.0f} GB/s")
    rows = [row for row in ROWS if row.loss.signature.name == "dense"]
    rows = [row for row in rows if not options.only or row.loss_name in options.only]
    heads = "".join(f"{head:>12}" for head in backends)
    print(f"{'ms, forward plus backward':34} {'size':>14}{heads}{'bytes/bw':>10}{'ratio':>8}")
    for row in rows:
        print(loss_line(row, options.size, device, backends, rate, options.rounds), flush=True)
    print(f"\n{f'{options.steps} steps of digits_noise':34}{'one stack':>12}{'one by one':>12}{'ratio':>8}")
    for count in options.runs:
        stacked, alone = population_seconds(count, options.steps, device)
        print(f"{f'{count} trainings, s':34}{stacked:>12.2f}{alone:>12.2f}{alone / stacked:>8.1f}", flush=True)


if __name__ == "__main__":
    main()
