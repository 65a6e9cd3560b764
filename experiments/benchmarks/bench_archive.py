"""What reading a large archive costs: `python -m lossearch.experiments.benchmarks.bench_archive [--candidates N]`.

Fills an archive as a search does, four rejected candidates to one that is trained with three seeds, and prints what
`seen()`, the Pareto front and the hall of fame take and how many bytes a candidate needs on disk.
"""

from __future__ import annotations

import argparse
import hashlib
import random
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from lossearch import zoo
from lossearch.archive.store import Archive, Candidate, Evaluation, Origin
from lossearch.ir.forms.joint import any_to_json

BATCH = 1000
REJECTED_PER_TRAINED = 4
SEEDS = 3
LOOKUPS = 2000
TASK = "bench"


def fill(archive: Archive, count: int) -> None:
    """Archive `count` candidates with random metrics, of which every fifth was trained."""
    graph, metrics = any_to_json(zoo.get("focal").graph), random.Random(0)
    for start in range(0, count, BATCH):
        numbers = range(start, min(start + BATCH, count))
        archive.add_candidates(_candidate(number, graph) for number in numbers)
        archive.add_evaluations(
            [
                Evaluation(key=_digest(f"key {number}"), task=TASK, seed=seed, budget=300, metric=metrics.random())
                for number in numbers
                if _trained(number)
                for seed in range(SEEDS)
            ]
        )


def _trained(number: int) -> bool:
    return number % (1 + REJECTED_PER_TRAINED) == REJECTED_PER_TRAINED


def _candidate(number: int, graph: str) -> Candidate:
    trained = _trained(number)
    return Candidate(
        origin=Origin(0, number // BATCH, number % BATCH),
        key=_digest(f"key {number}"),
        fingerprint=_digest(f"fingerprint {number}"),
        verdict="accepted" if trained else "rejection",
        text="dense: focal(logits, target, 2.0)",
        graph=graph if trained else None,
        complexity=5 + number % 40,
        operator="mutation:wrap",
    )


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def microseconds(call: Callable[[int], object], times: int) -> float:
    """Median processor time of a call with the numbers from zero on."""
    taken: list[float] = []
    for number in range(times):
        start = time.process_time()
        call(number)
        taken.append(time.process_time() - start)
    return 1e6 * statistics.median(taken)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=100_000)
    count: int = parser.parse_args().candidates
    drawn = random.Random(1)
    known = [_digest(f"key {drawn.randrange(count)}") for _ in range(LOOKUPS)]
    new = [_digest(f"new {number}") for number in range(LOOKUPS)]
    with tempfile.TemporaryDirectory() as folder:
        with Archive.create(Path(folder) / "archive.sqlite", "accuracy", True) as archive:
            start = time.process_time()
            fill(archive, count)
            filling = 1e6 * (time.process_time() - start) / count
        size = sum(path.stat().st_size for path in Path(folder).iterdir())
        with Archive.open(archive.path, read_only=True) as reader:
            rows = {
                "written, a candidate": filling,
                "seen(), known": microseconds(lambda number: reader.seen(known[number]), LOOKUPS),
                "seen(), new": microseconds(lambda number: reader.seen(new[number]), LOOKUPS),
                "Pareto front": microseconds(lambda _: reader.pareto_front(), 20),
                "hall of fame": microseconds(lambda _: reader.hall_of_fame(), 20),
            }
    print(f"{f'{count} candidates':<26}{'µs':>10}")
    for name, took in rows.items():
        print(f"{name:<26}{took:>10.0f}")
    print(f"{size / count:.0f} bytes a candidate, {size / 1e6:.1f} MB in all")


if __name__ == "__main__":
    main()
