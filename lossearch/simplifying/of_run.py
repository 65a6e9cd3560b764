"""A run's own task, on which its losses are shortened, and where their shorter forms are kept."""

from __future__ import annotations

from dataclasses import asdict

from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.simplified import Shorter, keep_shorter
from lossearch.engine.setup.begun import continued, located
from lossearch.engine.setup.config import load_config
from lossearch.engine.setup.subject import FoundTask
from lossearch.simplifying.simplified import Simplified
from lossearch.tasks.catalogue import build_task
from lossearch.tasks.user.config import FunctionConfig


def task_of_run(run: RunDirectory) -> FoundTask:
    """The task of a run: a bundled one with its full budget, a user's function with that of the search."""
    config = load_config(run.config)[0]
    if config.calls_functions:
        config = located(continued(run), run)  # paths as the search found them
    if not isinstance(config.task, FunctionConfig):
        return FoundTask(build_task(config.task), device=config.evaluation.device)
    return FoundTask(config.task, config.evaluation.steps, config.evaluation.time_limit_s, config.evaluation.device)


def kept_beside(run: RunDirectory, found: Simplified) -> None:
    """Keep a shorter form in the run directory, beside the original, where reports find it."""
    evidence = None if found.evidence is None else asdict(found.evidence)
    keep_shorter(run, found.original.key, Shorter(found.loss.to_json(), found.exact.to_text(), found.holds, evidence))
