"""How many candidates a second are proposed, typed, deduplicated and probed: `python -m …bench_screening`.

Runs regularised evolution over the dense space with a score that costs nothing, and prints what each stage takes per
candidate, in processor time of one core.
"""

from __future__ import annotations

import argparse
import gc
import random
import time

import torch

from lossearch import zoo
from lossearch.candidates.screen import Screen, ScreeningConfig
from lossearch.evolve import make_method
from lossearch.ir.core.graph import Graph
from lossearch.search_spaces import load_space
from lossearch.tasks import Task

NUMERIC = ("type", "range", "duplicate_key", "probe")
"""The filters up to the first numeric one."""


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--candidates", type=int, default=4000)
    count: int = parser.parse_args().candidates
    torch.set_num_threads(1)
    space = load_space("dense")
    reference, settings = zoo.get("cross_entropy").graph, ScreeningConfig(rejection_steps=0)
    screen = Screen(Task("digits_noise"), space, reference, settings, clock=time.thread_time)
    method = make_method("regularized_evolution", space, 0)
    gc.collect()
    gc.freeze()  # as an island does
    scores, seen, proposing = random.Random(0), set[str](), 0.0
    for _ in range(count):
        start = time.thread_time()
        candidate = method.ask()
        proposing += time.thread_time() - start
        assert isinstance(candidate.graph, Graph)
        verdict = screen.check(candidate.graph, seen)
        seen |= {verdict.key} if verdict.fingerprint is None else {verdict.key, verdict.fingerprint}
        start = time.thread_time()
        method.tell(candidate, scores.random() if verdict.accepted else None, verdict.complexity)
        proposing += time.thread_time() - start
    rows = {"propose": (count, 0, proposing)}
    rows |= {name: (c.considered, c.rejected, c.seconds) for name, c in screen.counts().items()}
    print(f"{'stage':<24}{'considered':>12}{'rejected':>10}{'µs each':>10}")
    for name, (considered, rejected, seconds) in rows.items():
        print(f"{name:<24}{considered:>12}{rejected:>10}{seconds / max(considered, 1) * 1e6:>10.0f}")
    spent = proposing + sum(rows[name][2] for name in NUMERIC)
    print(f"proposed, typed, deduplicated and probed: {count / spent:.0f} candidates a second on one core")


if __name__ == "__main__":
    main()
