"""Which variant of a search finds more at equal cost.

    python -m lossearch.experiments.benchmarks.search_quality CONFIG as_is= 'random=method = { name = "random" }'

A variant is a name and changes of the configuration in TOML, such as `old=space = "old.toml"` or `untuned=evaluation =
{ variants = 1 }`. Each runs once a seed. Printed are how the winner of each final race does on the race's own seeds, on
validation data, and the steps of the trainings that scored candidates.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from lossearch import api
from lossearch.archive.run_directory import RunDirectory
from lossearch.engine.setup.config import load_config
from lossearch.engine.setup.parts import make_task, task_facts
from lossearch.errors import UserError
from lossearch.reading import parse_toml


def main() -> None:
    """Print a line for each search, and median and range of each variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("config", type=Path)
    parser.add_argument(
        "variants", nargs="+", help='NAME=TOML; the configuration as it is under the name alone: "as_is="'
    )
    parser.add_argument("--seeds", type=int, default=5)
    given = parser.parse_args()
    config, _ = load_config(given.config)
    facts = task_facts(config, make_task(config))
    variants = dict(map(variant, given.variants))
    found: dict[str, list[float]] = {name: [] for name in variants}
    print(f"{given.config.stem}: {facts.metric_with_direction}")
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(given.seeds):
            for name, changes in variants.items():
                values = merged({**config.model_dump(mode="json"), "seed": seed}, changes)
                start = time.perf_counter()
                run = Path(folder) / f"{name}_{seed}"
                api.search(values, run, progress=False)
                score, steps, text = _winner(run)
                found[name].append(score)
                seconds = time.perf_counter() - start
                print(f"{name} seed {seed}: {score:.5f} after {steps:,} steps, {seconds:.0f} s: {text}", flush=True)
    for name, scores in found.items():
        print(f"{name}: median {np.median(scores):.5f}, from {min(scores):.5f} to {max(scores):.5f}")


def variant(text: str) -> tuple[str, dict[str, Any]]:
    """Name and changes of a variant; raises `UserError` for what is none."""
    name, equals, changes = text.partition("=")
    if not name or not equals:
        raise UserError(
            "a variant as NAME=TOML, such as random='method = { name = \"random\" }'", repr(text), "correct it"
        )
    return name, parse_toml(changes, "changes in TOML", f"correct {name}")


def merged(values: Mapping[str, Any], changes: Mapping[str, Any]) -> dict[str, Any]:
    """The values with changes; those of a table are made within it, but a method is replaced as a whole."""
    found = dict(values)
    for name, change in changes.items():
        table = name != "method" and isinstance(change, dict) and isinstance(found.get(name), dict)
        found[name] = merged(found[name], change) if table else change
    return found


def _winner(run: Path) -> tuple[float, int, str]:
    """Metric of the best loss, steps of all trainings that scored candidates, and the loss."""
    with RunDirectory(run).open_archive(read_only=True) as archive:
        best = archive.ranked(1)[0]
        steps = sum(evaluation.budget for evaluation in archive.evaluations())
        assert best.metric is not None
        return best.metric, steps, best.candidate.text or ""


if __name__ == "__main__":
    main()
