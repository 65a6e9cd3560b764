"""Running one experiment: search, race and comparison, each of which goes on where it was interrupted."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from lossearch import api
from lossearch.across import compare_across
from lossearch.archive.run_directory import RunDirectory
from lossearch.engine.driver.search import resume
from lossearch.errors import UserError
from lossearch.experiments.experiment import Experiment
from lossearch.experiments.outcome import Outcome, TransferOutcome, outcome_of, transfer_outcome_of
from lossearch.reading import read_text


def run_experiment(experiment: Experiment, folder: Path) -> Outcome | TransferOutcome:
    """Search, race, and compare on the test split, or on those of tasks that the search did not see.

    Args:
        experiment: what to run.
        folder: where its run directory lies; one that is there goes on.

    Raises:
        UserError: data is missing, the configuration was edited since the run began, or what `lossearch.search` and
            `lossearch.compare` raise.
    """
    place = folder / experiment.name
    if not place.exists():
        api.search(experiment.configuration, place)
    else:
        run = RunDirectory.open(place)
        if run.config_text() != read_text(experiment.configuration, "a configuration", "restore it"):
            required = f"a run of {experiment.configuration.name} as it is now"
            raise UserError(required, f"one of an earlier version in {place}", "move that folder away")
        if not run.comparison.parent.exists():  # a comparison is made once search and race have ended
            resume(place)
    run = RunDirectory.open(place)
    details: dict[str, Any] = {} if experiment.trials is None else {"trials": experiment.trials}
    if experiment.held_out is not None:
        transfer = compare_across(
            experiment.configuration,
            [f"{place}@1", *experiment.against],
            experiment.seeds,
            tasks=experiment.held_out,
            out=run.comparison.parent,
            progress=lambda task, told: print(f"{task}: {told.phase} {told.done}/{told.total} {told.loss}", flush=True),
            **details,
        )
        return transfer_outcome_of(experiment, run, transfer)
    comparison = api.compare(
        str(experiment.configuration),
        [f"{place}@1", *experiment.against],
        experiment.seeds,
        out=run.comparison.parent,
        progress=True,
        **details,
    )
    return outcome_of(experiment, run, comparison)
