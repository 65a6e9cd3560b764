"""How long compiling takes, and how compiled losses compare with hand-written PyTorch: `python -m …bench_compile`.

Prints milliseconds from a graph to a callable per backend, the cost of interpreting a candidate, and forward plus
backward of focal and Dice loss on every backend against the best hand-written eager form. Runs of all forms are
interleaved in random order, so that the machine's load and what ran before meet all of them alike.
"""

from __future__ import annotations

import argparse
import random
import statistics
import time
from collections.abc import Callable, Mapping

import torch
import torch.nn.functional as F
from torch import Tensor

from lossearch import zoo
from lossearch.compile import build, evaluate
from lossearch.compile.backend import check_backend, compile_source
from lossearch.compile.source import emit
from lossearch.compile.torchscript import quick_start
from lossearch.compile.variant import Variant, source_of
from lossearch.ir.graph import Graph
from lossearch.ir.lowering import lower

Criterion = Callable[[Tensor, Tensor], Tensor]
SIZES = ((256, 10), (4, 21, 256, 256))
SMOOTH = 1e-5


def focal_by_cross_entropy(logits: Tensor, target: Tensor) -> Tensor:
    """Focal loss, γ = 2, on top of PyTorch's fused cross-entropy."""
    cross_entropy = F.cross_entropy(logits, target, reduction="none")
    return ((1 - torch.exp(-cross_entropy)) ** 2 * cross_entropy).mean()


def focal_by_gather(logits: Tensor, target: Tensor) -> Tensor:
    """Focal loss, γ = 2, from the label's log-probability."""
    log_p = F.log_softmax(logits, 1).gather(1, target.unsqueeze(1))
    return (-((1 - log_p.exp()) ** 2) * log_p).mean()


def dice_by_one_hot(logits: Tensor, target: Tensor) -> Tensor:
    """Soft Dice per class over the batch, squared cardinalities, as most repositories have it."""
    p = F.softmax(logits, 1)
    one_hot = F.one_hot(target, p.shape[1]).movedim(-1, 1).to(p.dtype)
    dims = (0, *range(2, p.dim()))
    intersection = (p * one_hot).sum(dims)
    cardinality = (p**2).sum(dims) + one_hot.sum(dims)
    return (1 - (2 * intersection + SMOOTH) / (cardinality + SMOOTH)).mean()


def dice_by_scatter(logits: Tensor, target: Tensor) -> Tensor:
    """The same from the labels' own probabilities, without one-hot vectors."""
    p = F.softmax(logits, 1)
    chosen, labels = p.gather(1, target.unsqueeze(1)).flatten(), target.flatten()
    zeros = p.new_zeros(p.shape[1])
    intersection = zeros.scatter_add(0, labels, chosen)
    cardinality = p.square().sum((0, *range(2, p.dim()))) + zeros.scatter_add(0, labels, torch.ones_like(chosen))
    return (1 - (2 * intersection + SMOOTH) / (cardinality + SMOOTH)).mean()


HAND_WRITTEN: Mapping[str, tuple[Criterion, ...]] = {
    "focal": (focal_by_cross_entropy, focal_by_gather),
    "dice": (dice_by_one_hot, dice_by_scatter),
}


def interleaved(forms: Mapping[str, Criterion], size: tuple[int, ...], rounds: int) -> dict[str, float]:
    """Median processor seconds of forward plus backward of each form, which other work disturbs least."""
    torch.manual_seed(0)
    logits = torch.randn(size, requires_grad=True)
    target = torch.randint(size[1], (size[0], *size[2:]))
    values = [form(logits, target).item() for form in forms.values()]
    if max(values) - min(values) > 1e-4 * abs(values[0]):
        raise RuntimeError(f"forms disagree: {dict(zip(forms, values, strict=True))}")
    order = random.Random(0)
    taken: dict[str, list[float]] = {name: [] for name in forms}
    for turn in range(rounds + 4):  # the first turns compile and warm up
        for name, form in order.sample(list(forms.items()), len(forms)):
            logits.grad = None
            start = time.process_time()
            form(logits, target).backward()
            if turn >= 4:
                taken[name].append(time.process_time() - start)
    return {name: statistics.median(times) for name, times in taken.items()}


def function(graph: Graph, backend: str, size: tuple[int, ...]) -> Criterion:
    """The compiled function alone, without the module's checks: what stands against a hand-written function."""
    source = source_of(graph.frozen(), Variant(labels=True, space=len(size) > 2), "mean")
    compiled = compile_source(source, check_backend(backend))
    if not source.flat:
        return compiled
    if len(size) == 2:
        return lambda logits, target: compiled(logits.unsqueeze(-1), target.unsqueeze(-1))
    return lambda logits, target: compiled(logits.flatten(2), target.flatten(1))


def compare(rounds: int, backends: tuple[str, ...]) -> None:
    """The table of focal and Dice against hand-written forms."""
    print(f"{'forward + backward':34} {'µs':>10} {'ratio to best hand-written':>28}")
    for name, hand_written in HAND_WRITTEN.items():
        loss = zoo.get(name)
        for size in SIZES:
            forms: dict[str, Criterion] = {form.__name__: form for form in hand_written}
            forms.update({f"function, {backend}": function(loss.graph, backend, size) for backend in backends})
            forms.update({f"module, {backend}": build(loss.graph, backend) for backend in backends})
            count = rounds if size == SIZES[0] else max(5, rounds // 100)
            seconds = interleaved(forms, size, count)
            best = min(seconds[form.__name__] for form in hand_written)
            print(f"{name} {'x'.join(map(str, size))}")
            for form, took in seconds.items():
                print(f"    {form:30} {took * 1e6:10.1f} {took / best:28.3f}")


def latencies() -> None:
    """Milliseconds from graph to callable over the zoo, uncached, and of a first call."""
    graphs = {name: zoo.get(name).graph.frozen() for name in zoo.names()}
    rows: dict[str, list[float]] = {"lower": [], "emit": [], "torchscript": [], "eager": []}
    for graph in graphs.values():
        lower.cache_clear()
        start = time.perf_counter()
        lowered = lower(graph)
        rows["lower"].append(time.perf_counter() - start)
        start = time.perf_counter()
        source = emit(lowered)
        rows["emit"].append(time.perf_counter() - start)
        for backend in ("torchscript", "eager"):
            start = time.perf_counter()
            compile_source(source, backend)
            rows[backend].append(time.perf_counter() - start)
    print(f"{'graph to callable, ' + str(len(graphs)) + ' losses':34} {'median ms':>10} {'largest ms':>12}")
    for name, times in rows.items():
        print(f"    {name:30} {statistics.median(times) * 1e3:10.3f} {max(times) * 1e3:12.3f}")


def first_calls() -> None:
    """Milliseconds of the first calls, forward plus backward, with and without TorchScript's profiling."""
    logits, target = torch.randn(64, 10, requires_grad=True), torch.randint(10, (64,))
    for label, profiled in (("profiled", True), ("quick_start", False)):
        module = build(zoo.get("brier" if profiled else "poly1").graph, "torchscript")
        times = []
        for _ in range(4):
            start = time.perf_counter()
            if profiled:
                module(logits, target).backward()
            else:
                with quick_start():
                    module(logits, target).backward()
            times.append(f"{(time.perf_counter() - start) * 1e3:.1f}")
        print(f"    first calls, {label:17} {', '.join(times)} ms")


def interpreting(rounds: int) -> None:
    """Microseconds of interpreting focal loss, forward plus backward, on a small probe."""
    lowered = lower(zoo.get("focal").graph.frozen())
    logits, target = torch.randn(16, 5, 1, requires_grad=True), torch.softmax(torch.randn(16, 5, 1), 1)
    times = []
    for _ in range(rounds):
        start = time.perf_counter()
        evaluate(lowered, {"logits": logits, "target": target})[0].sum().backward()
        times.append(time.perf_counter() - start)
    print(f"    interpreted, {len(lowered.nodes)} nodes{'':13} {statistics.median(times) * 1e6:10.1f} µs")


def main() -> None:
    """Print every table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=1000, help="runs of each form at the small size")
    parser.add_argument("--no-inductor", action="store_true", help="leave out torch.compile")
    options = parser.parse_args()
    torch.set_num_threads(1)
    latencies()
    first_calls()
    interpreting(options.rounds)
    compare(options.rounds, ("eager", "torchscript") if options.no_inductor else ("eager", "torchscript", "compile"))


if __name__ == "__main__":
    main()
