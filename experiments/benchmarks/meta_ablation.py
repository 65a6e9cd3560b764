"""What meta-learned losses are worth, by estimator, horizon and step-size neutrality, at equal processor time.

    python -m lossearch.experiments.benchmarks.meta_ablation CONFIG 'es=' 'one step=estimator = "unrolled"
    horizon = 1' [--seconds 60] [--seeds 3]

A variant is a name and changes of the configuration's `[method]` in TOML. Each takes outer steps until its processor
time is over; its last loss is then scored as a search scores candidates, on tasks and seeds that it did not see. It
prints the scores, beside that of the loss with which all begin, and the outer and training steps that they took.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path

import numpy as np

from lossearch.candidates.scoring import CandidateEvaluator
from lossearch.engine.setup.config import load_config, validate
from lossearch.engine.setup.parts import build_parts, island_method
from lossearch.errors import UserError
from lossearch.experiments.benchmarks.search_quality import variant
from lossearch.ir.core.joint import AnyGraph
from lossearch.ir.forms.joint import format_any


def main() -> None:
    """Print a line for each loss that was learned, then each variant's median."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument("variants", nargs="+", help='NAME=TOML; the configuration as it is under the name alone: "es="')
    parser.add_argument("--seconds", type=float, default=60.0, help="of processor time for the outer steps")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    config, _ = load_config(given.config)
    parts = build_parts(config)
    evaluator = parts.evaluator
    if not isinstance(evaluator, CandidateEvaluator):
        raise UserError("a task that describes its training", parts.facts.name, "name a bundled one")
    found: dict[str, list[float]] = {}
    print(f"{given.config.stem}: {parts.facts.metric_with_direction}")
    for name, changes in map(variant, given.variants):
        for seed in range(given.seeds):
            values = config.model_dump(mode="json")
            method = {**values["method"], "every": 1, "baselines": False, **changes}
            changed = validate({**values, "method": method, "seed": seed})
            learner = island_method(changed, parts, 0, 1)
            first = learner.ask().graph
            if not found:
                print(f"begin: {_score(evaluator, first):.4f}: {format_any(first)}", flush=True)
                found["begin"] = [_score(evaluator, first)]
            graph, steps, cost, start = first, 0, 0.0, time.process_time()
            while time.process_time() - start < given.seconds:
                proposal = learner.ask()
                graph, steps, cost = proposal.graph, steps + 1, cost + proposal.numbers.get("outer_cost", 0.0)
            score = _score(evaluator, graph)
            found.setdefault(name, []).append(score)
            told = f"{steps} outer steps, {cost:,.0f} training steps"
            print(f"{name} seed {seed}: {score:.4f} after {told}: {format_any(graph)}", flush=True)
    for name, scores in found.items():
        print(f"{name}: median {np.median(scores):.4f}, from {min(scores):.4f} to {max(scores):.4f}")


def _score(evaluator: CandidateEvaluator, graph: AnyGraph) -> float:
    """The score of a candidate; worst of all where its training fails."""
    score = evaluator.evaluate(graph, 0).score
    return -np.inf if score is None else score


if __name__ == "__main__":
    main()
