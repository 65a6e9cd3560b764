"""Run experiments and write what came of them: `make experiments`, or `python -m lossearch.experiments NAME …`."""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

from lossearch.engine.driver.ending import SearchInterrupted, SearchLost
from lossearch.errors import UserError
from lossearch.experiments.experiment import Experiment, experiments
from lossearch.experiments.outcome import read_outcome, write_outcome
from lossearch.experiments.results_page import results_page
from lossearch.experiments.running import run_experiment
from lossearch.files import write_atomically

INTERRUPTED = 130
"""Exit status after Ctrl-C, as a shell has it."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run them in order; returns how many failed, or 128 and the number of the signal that ended it.

    One that fails does not keep the others from running.
    """
    parser = argparse.ArgumentParser(prog="python -m lossearch.experiments", description=__doc__)
    parser.add_argument("names", nargs="*", help="of experiments.toml; all by default")
    parser.add_argument("--runs", type=Path, default=Path("runs/experiments"), help="where run directories lie")
    parser.add_argument("--results", type=Path, default=Path("experiments"), help="where RESULTS.md and results/ lie")
    parser.add_argument("--page-only", action="store_true", help="write RESULTS.md from results/ and run nothing")
    given = parser.parse_args(arguments)
    try:
        chosen = experiments(given.names)
    except UserError as error:
        print(error, file=sys.stderr)
        return 2
    try:
        failed = [] if given.page_only else [one for one in chosen if not _ran(one, given.runs, given.results)]
    except KeyboardInterrupt as error:
        print(f"{error or 'interrupted'}\nThe same command goes on from here, with all experiments.", file=sys.stderr)
        return error.exit_code if isinstance(error, SearchInterrupted) else INTERRUPTED
    try:
        write_page(given.results)
    except UserError as error:
        print(error, file=sys.stderr)
        return len(failed) + 1
    for one in failed:
        print(f"{one.name} did not end: see above", file=sys.stderr)
    return len(failed)


def _ran(experiment: Experiment, runs: Path, results: Path) -> bool:
    print(f"\n== {experiment.name}", flush=True)
    try:
        outcome = run_experiment(experiment, runs)
    except (UserError, SearchLost) as error:
        print(error, file=sys.stderr)
        return False
    folder = results / "results"
    folder.mkdir(parents=True, exist_ok=True)
    write_outcome(outcome, folder)
    print(f"{experiment.name}: {outcome.verdict}")
    return True


def write_page(results: Path) -> None:
    """Write `RESULTS.md` from the outcomes in `results/`, those of `experiments.toml` first and in its order.

    Raises:
        UserError: a file is damaged.
    """
    order = {one.name: place for place, one in enumerate(experiments())}
    found = [read_outcome(path) for path in sorted((results / "results").glob("*.json"))]
    found.sort(key=lambda outcome: (order.get(outcome.name, len(order)), outcome.name))
    write_atomically(results / "RESULTS.md", results_page(found), "run the experiments again")


if __name__ == "__main__":
    sys.exit(main())
