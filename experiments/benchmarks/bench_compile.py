"""How long compiling takes, and how compiled losses compare with hand-written PyTorch: `python -m …bench_compile`.

Prints milliseconds from a graph to a callable per backend, the cost of interpreting a candidate, and forward plus
backward of focal and Dice loss on every backend against the best hand-written eager form. Runs of all forms are
interleaved in random order, so that the machine's load and what ran before meet all of them alike.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable

import torch
from torch import Tensor

from lossearch import zoo
from lossearch.compile import build, evaluate
from lossearch.compile.backend import check_backend, compile_source
from lossearch.compile.source import emit
from lossearch.compile.torchscript import quick_start
from lossearch.compile.variant import Variant, source_of
from lossearch.experiments.benchmarks.rows import ROWS
from lossearch.experiments.benchmarks.rows.row import Size
from lossearch.experiments.benchmarks.timing import Call, check_agreement, interleaved, ratio
from lossearch.ir.core.graph import Graph
from lossearch.ir.rewriting.lowering import lower

Criterion = Callable[[Tensor, Tensor], Tensor]
SIZES: tuple[Size, ...] = ("small", "large")


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
    """The table of focal and Dice against hand-written forms: what the module costs beyond its function."""
    print(f"{'forward + backward':34} {'µs':>10} {'ratio to best hand-written':>28}")
    for row in (row for row in ROWS if row.loss_name in ("focal", "dice")):
        for size in SIZES:
            groups = row.calls(size, backends)
            calls = groups["hand"] | {f"module, {backend}": call for backend, call in groups["ours"].items()}
            dims = getattr(row.inputs, size)
            arguments, leaves = calls[f"module, {backends[0]}"].arguments, calls[f"module, {backends[0]}"].leaves
            for backend in backends:
                compiled = function(row.loss.graph, backend, dims)
                calls[f"function, {backend}"] = Call(compiled, arguments, leaves)
            check_agreement(calls)
            taken = interleaved(calls, rounds if size == "small" else max(5, rounds // 100))
            seconds = {name: statistics.median(times) for name, times in taken.items()}
            best = min(groups["hand"], key=seconds.__getitem__)
            print(f"{row.name} {'x'.join(map(str, dims))}")
            for name, took in seconds.items():
                print(f"    {name:30} {took * 1e6:10.1f} {ratio(taken[name], taken[best]):28.3f}")


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
