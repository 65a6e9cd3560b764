"""Whether an island's memory grows: `python -m lossearch.experiments.benchmarks.bench_memory [--quick]`.

One island proposes and screens as in a search on digits with label noise; trainings and the archive are left out, so
that 10^5 candidates take an hour instead of a day. With --quick only duplicates are screened, which takes minutes.
Prints the process's memory and what lives in it, as the search goes on.
"""

from __future__ import annotations

import argparse
import gc
import time
from collections import Counter
from collections.abc import Container
from pathlib import Path

import torch

from lossearch.candidates.scoring import CandidateResult
from lossearch.candidates.screen import FilterTotals, Verdict, canonical
from lossearch.candidates.stopping import NEVER, Stops
from lossearch.engine.island.loop import IslandLoop
from lossearch.engine.setup.config import load_config, validate
from lossearch.engine.setup.parts import build_parts, island_method, island_setting
from lossearch.engine.setup.state import IslandState
from lossearch.engine.writer.messages import Batch, Claim, GenerationReport, Parcel
from lossearch.ir.core.graph import Graph
from lossearch.tasks import Status

CONFIG = Path(__file__).resolve().parents[1] / "digits_noise.toml"


class Pretending:
    """A score that follows from the key alone, in place of a training."""

    def evaluate(self, graph: Graph, seed: int, stops: Stops = NEVER) -> CandidateResult:
        """The result, at once."""
        score = int(graph.key[:6], 16) / 2**24
        return CandidateResult(Status.OK, score, (score,), graph, 0.1, 1.0, ((10, score),), 0.01, "")


class Lenient:
    """Rejects duplicates alone, in place of the screen."""

    def check(self, graph: Graph, seen: Container[str]) -> Verdict:
        """A verdict by the key."""
        graph = canonical(graph)
        new = graph.key not in seen
        filter = "accepted" if new else "duplicate_key"
        return Verdict(new, filter, "", graph.key, self.fingerprint(graph), graph.complexity, graph, {})

    def fingerprint(self, graph: Graph) -> str:
        """Another digest for each key."""
        return "f" + canonical(graph).key[1:]

    def counts(self) -> dict[str, FilterTotals]:
        """None."""
        return {}

    def reset_counts(self) -> None:
        """There are none."""


class Deaf:
    """A writer that forgets everything."""

    def begin(self, island: int, generation: int) -> frozenset[str]:
        """Nothing is known."""
        return frozenset()

    def claim(self, island: int, proposal: str) -> Claim:
        """Nothing was trained before."""
        return Claim(0, None)

    def starting(self, island: int, proposal: str) -> None:
        """Ignored."""

    def submit(self, island: int, batch: Batch) -> None:
        """Ignored."""

    def report(self, island: int, report: GenerationReport) -> int:
        """Ignored."""
        return report.candidates

    def exchange(self, island: int, parcel: Parcel) -> Parcel:
        """No migrants."""
        return Parcel()

    def fail(self, island: int, error: Exception) -> None:
        """Ignored."""


def megabytes() -> float:
    """Resident memory of this process."""
    status = Path("/proc/self/status").read_text(encoding="utf-8")
    return next(int(line.split()[1]) for line in status.splitlines() if line.startswith("VmRSS")) / 1000


def island(candidates: int, quick: bool) -> IslandLoop:
    """An island with the real space and method, and the real screen unless `quick`."""
    values = load_config(CONFIG)[0].model_dump(mode="json")
    limits = {"generations": None, "max_candidates": candidates, "time_limit_s": None, "islands": 1}
    config = validate({**values, **limits})
    parts = build_parts(config)
    setting = island_setting(config, parts, 0, 1, lambda training: None)
    method = island_method(config, parts, 0, 1)
    screen = Lenient() if quick else parts.screen
    return IslandLoop(IslandState(0), method, screen, Pretending(), Deaf(), setting)


def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--candidates", type=int, default=100_000)
    parser.add_argument("--lines", type=int, default=20)
    parser.add_argument("--quick", action="store_true")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    loop = island(arguments.candidates, arguments.quick)
    gc.collect()
    gc.freeze()
    start, due = time.monotonic(), 0
    print(f"{'candidates':>10}{'trained':>10}{'MB':>8}{'seconds':>9}  most common objects")
    while not loop.done:
        loop.generation()
        loop.save().dumps()
        if loop.state.candidates >= due:
            due += arguments.candidates // arguments.lines
            gc.collect()
            kinds = Counter(type(thing).__name__ for thing in gc.get_objects()).most_common(6)
            objects = ", ".join(f"{name} {count}" for name, count in kinds)
            state, seconds = loop.state, time.monotonic() - start
            print(f"{state.candidates:>10}{state.trained:>10}{megabytes():>8.1f}{seconds:>9.0f}  {objects}", flush=True)


if __name__ == "__main__":
    main()
