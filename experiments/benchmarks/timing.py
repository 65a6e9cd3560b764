"""How forms of one computation are compared: interleaved in random order, so that load meets all of them alike."""

from __future__ import annotations

import json
import math
import random
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

WARMING = 4
"""Turns that compile and warm up."""

READING = 5e-4
"""Seconds of work between two looks at the clock, which itself takes microseconds."""


@dataclass(frozen=True)
class Call:
    """A function of given arguments, forward plus backward; gradients are left in `leaves`."""

    function: Callable[..., Tensor]
    arguments: Sequence[Any]
    leaves: Sequence[Tensor]

    def __call__(self) -> Tensor:
        for leaf in self.leaves:
            leaf.grad = None
        value = self.function(*self.arguments)
        value.backward()
        return value


def check_agreement(calls: Mapping[str, Call], relative: float = 1e-4) -> None:
    """Raise unless all values agree, and the lengths of all gradients, whose layouts may differ."""
    found: dict[str, tuple[float, float]] = {}
    for name, call in calls.items():
        value = call().item()
        squares = [leaf.grad.double().square().sum().item() for leaf in call.leaves if leaf.grad is not None]
        found[name] = value, math.sqrt(sum(squares))
    value, length = next(iter(found.values()))
    for other, other_length in found.values():
        same_value = math.isclose(value, other, rel_tol=relative, abs_tol=1e-5)
        if not (same_value and math.isclose(length, other_length, rel_tol=1e-3)):
            raise RuntimeError(f"forms disagree in value or length of gradient: {found}")


def interleaved(calls: Mapping[str, Call], rounds: int) -> dict[str, list[float]]:
    """Seconds of each call, one figure a round: of this thread's processor time, or of the GPU."""
    on_gpu = any(leaf.is_cuda for call in calls.values() for leaf in call.leaves)
    read = _gpu_seconds if on_gpu else _thread_seconds
    repeat = 1
    for turn in range(WARMING):
        fastest = min(read(call, 1) for call in calls.values())
        if turn == WARMING - 1:
            repeat = max(1, math.ceil(READING / fastest))
    order = random.Random(0)
    taken: dict[str, list[float]] = {name: [] for name in calls}
    for _ in range(rounds):
        for name, call in order.sample(list(calls.items()), len(calls)):
            taken[name].append(read(call, repeat) / repeat)
    return taken


def _thread_seconds(call: Call, repeat: int) -> float:
    """On the CPU, backward runs on the calling thread, and other processes do not count."""
    start = time.thread_time()
    for _ in range(repeat):
        call()
    return time.thread_time() - start


def _gpu_seconds(call: Call, repeat: int) -> float:
    start, end = torch.cuda.Event(enable_timing=True), torch.cuda.Event(enable_timing=True)
    start.record()
    for _ in range(repeat):
        call()
    end.record()
    end.synchronize()
    return start.elapsed_time(end) / 1e3


def ratio(times: Sequence[float], others: Sequence[float]) -> float:
    """Median of the rounds' ratios."""
    return statistics.median(a / b for a, b in zip(times, others, strict=True))


def peak_bytes(call: Call) -> int:
    """Most memory held at once by forward plus backward beyond the arguments: results, buffers and gradients."""
    for leaf in call.leaves:
        leaf.grad = None
    if any(leaf.is_cuda for leaf in call.leaves):
        before = torch.cuda.memory_allocated()
        torch.cuda.reset_peak_memory_stats()
        call()
        return torch.cuda.max_memory_allocated() - before
    cpu = [torch.profiler.ProfilerActivity.CPU]
    with torch.profiler.profile(activities=cpu, profile_memory=True) as profile:
        call()
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, "trace.json")
        profile.export_chrome_trace(str(path))
        events = [event for event in json.loads(path.read_text())["traceEvents"] if event["name"] == "[memory]"]
    held = most = 0
    for event in sorted(events, key=lambda event: event["ts"]):
        held += event["args"]["Bytes"]
        most = max(most, held)
    return most
