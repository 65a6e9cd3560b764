"""A small finished run, written by hand, for commands that read one."""

from pathlib import Path

from lossearch import zoo
from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.store import Candidate, Evaluation, Origin
from lossearch.ir.forms import json as json_form
from lossearch.loss import Loss

# Best first, as `ls` must rank them; the last one failed on a seed.
LOSSES = (zoo.get("focal", gamma=1.5), zoo.get("cross_entropy"), zoo.get("brier"))
OTHERS = ({"nll": 0.25, "worst": 1.0}, {"nll": float("nan"), "worst": 2.0}, {})  # metrics besides the ranking one
METRICS: tuple[tuple[float | None, ...], ...] = ((0.91, 0.93), (0.85, 0.87), (0.99, None))
CONFIG = 'task = "digits_noise"\ngenerations = 1\n'


def make_run(path: Path) -> RunDirectory:
    """A run of one generation: three evaluated losses, the first made from the second, and a rejected one."""
    run = RunDirectory.create(path, CONFIG)
    with run.create_archive("accuracy", True) as archive:
        archive.add_candidates(_candidate(loss, index) for index, loss in enumerate(LOSSES))
        archive.add_candidate(Candidate(origin=Origin(0, 0, 3), key="ab" * 32, verdict="probe"))
        for loss, metrics, others in zip(LOSSES, METRICS, OTHERS, strict=True):
            for seed, metric in enumerate(metrics):
                status = "diverged" if metric is None else "ok"
                known = {} if metric is None else {"accuracy": metric, **others}
                cell = {"task": "digits_noise", "seed": seed, "budget": 100}
                archive.add_evaluation(Evaluation(key=loss.key, **cell, metric=metric, status=status, metrics=known))
    return run


def _candidate(loss: Loss, index: int) -> Candidate:
    return Candidate(
        origin=Origin(0, 0, index),
        key=loss.key,
        text=loss.to_text(),
        graph=json_form.dumps(json_form.graph_to_dict(loss.graph)),
        complexity=loss.complexity,
        parents=(LOSSES[1].key,) if index == 0 else (),
        operator="mutation:constant" if index == 0 else f"seed:{loss.name}",
    )
