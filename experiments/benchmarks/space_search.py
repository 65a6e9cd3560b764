"""In which of several spaces a search finds more: `python -m lossearch.experiments.benchmarks.space_search C S …`.

Runs the search of a configuration once a space and seed, all at the same cost, and prints how the winner of each final
race does on the race's own seeds, on validation data.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

import numpy as np

from lossearch import api
from lossearch.archive.run_directory import RunDirectory
from lossearch.engine.setup.config import load_config
from lossearch.engine.setup.parts import make_task, task_facts


def main() -> None:
    """Print a line for each search, and the median of each space."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("config", type=Path)
    parser.add_argument("spaces", nargs="+", help="names or .toml files")
    parser.add_argument("--seeds", type=int, default=3)
    given = parser.parse_args()
    config, _ = load_config(given.config)
    facts = task_facts(config, make_task(config))
    found: dict[str, list[float]] = {space: [] for space in given.spaces}
    print(f"{given.config.stem}: {facts.metric_with_direction}")
    with tempfile.TemporaryDirectory() as folder:
        for seed in range(given.seeds):
            for number, space in enumerate(given.spaces):
                place = str(Path(space).resolve()) if space.endswith(".toml") else space
                values = {**config.model_dump(mode="json"), "seed": seed, "space": place}
                start = time.perf_counter()
                run = Path(folder) / f"{number}_{seed}"
                api.search(values, run, progress=False)
                score, text = _winner(run)
                found[space].append(score)
                print(f"{space} seed {seed}: {score:.5f} after {time.perf_counter() - start:.0f} s: {text}", flush=True)
    for space, scores in found.items():
        print(f"{space}: median {np.median(scores):.5f}, from {min(scores):.5f} to {max(scores):.5f}")


def _winner(run: Path) -> tuple[float, str]:
    with RunDirectory(run).open_archive(read_only=True) as archive:
        best = archive.ranked(1)[0]
        assert best.metric is not None
        return best.metric, best.candidate.text or ""


if __name__ == "__main__":
    main()
