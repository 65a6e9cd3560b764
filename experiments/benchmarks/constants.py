"""What each way to tune the constants of candidates gains, and what it takes.

    python -m lossearch.experiments.benchmarks.constants CONFIG [--candidates 12]

Random losses with constants that pass the filters of a search configuration are trained as they are, and with
constants from each way. Printed are the mean difference of the metric on the seeds that score candidates, turned so
that higher is better, how often it is positive, and the seconds that a loss takes.
"""

from __future__ import annotations

import argparse
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lossearch.candidates.scoring import CandidateEvaluator
from lossearch.compile.constants import free_constants
from lossearch.engine.setup.config import SearchConfig, load_config
from lossearch.engine.setup.parts import Parts, build_parts, island_method
from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph

WAYS: dict[str, Mapping[str, Any]] = {
    "as they are": {"variants": 1},
    "4 variants": {"variants": 4},
    "16 variants": {"variants": 16},
    "2 hypergradients": {"variants": 1, "hypergradients": 2},
    "6 hypergradients": {"variants": 1, "hypergradients": 6},
}
"""Changes of `evaluation`."""

_TRIES = 10_000


def main() -> None:
    """Print a line for each way."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("--candidates", type=int, default=12)
    given = parser.parse_args()
    config, _ = load_config(given.config)
    graphs = sampled(config, given.candidates)
    print(f"{given.config.stem}: {len(graphs)} random losses")
    scores: dict[str, list[float]] = {}
    for name, changes in WAYS.items():
        evaluation = config.evaluation.model_copy(update=dict(changes))
        evaluator = build_parts(config.model_copy(update={"evaluation": evaluation})).evaluator
        assert isinstance(evaluator, CandidateEvaluator)
        start = time.perf_counter()
        results = [evaluator.evaluate(graph, 0) for graph in graphs]
        seconds = (time.perf_counter() - start) / len(graphs)
        sign = 1.0 if evaluator.task.metric.higher_is_better else -1.0
        scores[name] = [np.nan if one.score is None else sign * one.score for one in results]
        gain = np.array(scores[name]) - np.array(scores["as they are"])
        better = np.nanmean(gain > 0)
        print(
            f"{name}: {np.nanmean(gain):+.4f} on average, better for {better:.0%}, {seconds:.2f} s a loss", flush=True
        )


def sampled(config: SearchConfig, count: int) -> list[Graph]:
    """Random losses with constants that pass the filters; raises `UserError` where there are not so many."""
    parts: Parts = build_parts(config)
    method = island_method(config, parts, 0, 1)
    found: list[Graph] = []
    seen: set[str] = set()
    for _ in range(_TRIES):
        graph = method.random_graph()
        if not isinstance(graph, Graph):
            raise UserError("a search of one slot", "one of several slots", "name one")
        verdict = parts.screen.check(graph, seen)
        if verdict.accepted and isinstance(verdict.graph, Graph) and free_constants(verdict.graph.roots):
            seen |= {verdict.key, verdict.fingerprint or ""}
            found.append(verdict.graph)
        if len(found) == count:
            return found
    raise UserError(f"{count} random losses that pass the filters", str(len(found)), "ask for fewer")


if __name__ == "__main__":
    main()
