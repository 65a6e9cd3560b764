"""Running one experiment: search, race and comparison, each of which goes on where it was interrupted."""

from __future__ import annotations

from pathlib import Path

from lossearch import api
from lossearch.archive.run_directory import RunDirectory
from lossearch.engine.driver.search import resume
from lossearch.errors import UserError
from lossearch.experiments.experiment import Experiment
from lossearch.experiments.outcome import Outcome, outcome_of
from lossearch.reading import read_text


def run_experiment(experiment: Experiment, folder: Path) -> Outcome:
    """Search, race, and compare on the test split.

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
        if not run.comparison.exists():  # a comparison is made once search and race have ended
            resume(place)
    run = RunDirectory.open(place)
    comparison = api.compare(
        str(experiment.configuration),
        [f"{place}@1", *experiment.against],
        experiment.seeds,
        out=run.comparison.parent,
        progress=True,
    )
    return outcome_of(experiment, run, comparison)
