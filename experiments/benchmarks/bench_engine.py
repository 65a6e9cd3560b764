"""What the engine itself costs in a search: `python -m lossearch.experiments.benchmarks.bench_engine [--seconds S]`.

Prints, from real searches on digits with label noise, where an island's wall-clock goes, how many trainings two islands
do against one in the same time, and what the archive's writer spends per candidate. Needs two idle cores to mean
anything.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import os
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from lossearch import zoo
from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.store import Candidate, Evaluation, Origin
from lossearch.engine.driver.driver import ISLANDS
from lossearch.engine.driver.search import search
from lossearch.engine.setup.config import load_config, validate
from lossearch.engine.setup.toml_form import to_toml
from lossearch.engine.writer.messages import Batch
from lossearch.engine.writer.writer import ArchiveWriter
from lossearch.ir.forms.joint import any_to_json
from lossearch.search_spaces import load_space

CONFIG = Path(__file__).resolve().parents[1] / "digits_noise.toml"
REJECTED_PER_TRAINED = 4


@dataclass(frozen=True)
class Measured:
    """One search: shares of the islands' wall-clock, trainings done, seconds besides searching, CPU time of islands."""

    islands: int
    training: float
    screening: float
    proposing: float
    overhead: float
    trained: int
    seconds: float
    startup: float
    cpu: float


def measure(islands: int, seconds: float, folder: Path) -> Measured:
    """Search for some seconds and read the islands' own accounts."""
    config = load_config(CONFIG)[0].model_dump(mode="json")
    limits = {"generations": None, "max_candidates": None, "time_limit_s": seconds, "islands": islands}
    # Random expressions, and no seeds: so that what one island trains costs the same as what two do.
    space = folder / "space.toml"
    space.write_text(to_toml({**load_space(config["space"]).model_dump(), "seeds": []}), encoding="utf-8")
    alike = {"space": str(space), "method": {"name": "random"}, "race": {"candidates": 0}}
    start = time.perf_counter()
    result = search(validate({**config, **limits, **alike}), folder / f"islands-{islands}", progress=False)
    elapsed = time.perf_counter() - start
    account = json.loads((result.path / ISLANDS).read_text(encoding="utf-8"))
    reports = list(account["islands"].values())
    wall = sum(report["wall_seconds"] for report in reports)
    longest = max(report["wall_seconds"] for report in reports)
    cpu = sum(report["cpu_seconds"] for report in reports)
    counts = result.archive.counts()
    trained = counts.evaluations // config["evaluation"]["seeds"]
    result.close()
    training, screening, proposing = (
        sum(report[f"{part}_seconds"] for report in reports) / wall for part in ("training", "screening", "proposing")
    )
    overhead = account["overhead"]
    return Measured(islands, training, screening, proposing, overhead, trained, longest, elapsed - longest, cpu)


def writer_milliseconds(trained: int, folder: Path) -> tuple[float, float]:
    """Milliseconds per candidate that the writer needs, at the beginning and at the end of a long search."""
    run = RunDirectory.create(folder / "writer", "")
    run.create_archive("accuracy", True).close()
    writer = ArchiveWriter(str(run.path), 1, "bench")
    batches = [_batch(number) for number in range(trained)]
    seconds: list[float] = []
    for batch in batches:
        start = time.perf_counter()
        writer.submit(0, batch)
        seconds.append(time.perf_counter() - start)
    writer.close()
    tenth = max(1, trained // 10)
    per_batch = tenth * (1 + REJECTED_PER_TRAINED)
    return 1e3 * sum(seconds[:tenth]) / per_batch, 1e3 * sum(seconds[-tenth:]) / per_batch


def _batch(number: int) -> Batch:
    """One trained candidate with what was rejected before it."""
    graph = any_to_json(zoo.get("focal").graph)
    rows = REJECTED_PER_TRAINED + 1
    candidates = [
        Candidate(
            origin=Origin(0, number, rank),
            key=_digest(f"key {number} {rank}"),
            fingerprint=_digest(f"fingerprint {number} {rank}"),
            verdict="accepted" if rank == REJECTED_PER_TRAINED else "rejection",
            text="dense: focal(logits, target, 2.0)",
            graph=graph if rank == REJECTED_PER_TRAINED else None,
            complexity=5 + number % 40,
            operator="mutation:wrap",
        )
        for rank in range(rows)
    ]
    key = candidates[-1].key
    evaluations = [Evaluation(key=key, task="bench", seed=seed, budget=300, metric=0.5) for seed in range(3)]
    return Batch(tuple(candidates), (), tuple(evaluations))


def _digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of each search")
    parser.add_argument("--candidates", type=int, default=20_000, help="trained ones, for the writer")
    arguments = parser.parse_args()
    print(f"load average before the benchmark: {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores")
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        runs = [measure(islands, arguments.seconds, folder) for islands in (1, 2)]
        columns = ("islands", "training", "screening", "proposing", "overhead", "trained/s", "CPU/wall", "startup s")
        print("".join(f"{column:>11}" for column in columns))
        for run in runs:
            shares = f"{run.training:>11.1%}{run.screening:>11.1%}{run.proposing:>11.1%}{run.overhead:>11.2%}"
            cpu = run.cpu / (run.islands * run.seconds)
            print(f"{run.islands:>11}{shares}{run.trained / run.seconds:>11.2f}{cpu:>11.0%}{run.startup:>11.1f}")
        ratio = (runs[1].trained / runs[1].seconds) / (runs[0].trained / runs[0].seconds)
        print(f"two islands against one: {ratio:.2f} times the trainings (wanted: 1.8)")
        per_cpu = (runs[1].trained / runs[1].cpu) / (runs[0].trained / runs[0].cpu)
        print(f"trainings per CPU second of two islands against one: {per_cpu:.2f} (what other programs leave aside)")
        print(f"overhead: {max(run.overhead for run in runs):.2%} of the islands' wall-clock (wanted: at most 5 %)")
        first, last = writer_milliseconds(arguments.candidates, folder)
        total = arguments.candidates * (1 + REJECTED_PER_TRAINED)
        print(f"writer: {first:.3f} ms a candidate at first, {last:.3f} ms after {total} (wanted: less than 1)")


if __name__ == "__main__":
    main()
