"""Reading the winner of a final race back: its shorter form is kept beside it, where reports and exports find it."""

from __future__ import annotations

from collections.abc import Callable

from lossearch.archive.discovered import discovered_loss
from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.simplified import shorter_of, was_sought
from lossearch.comparison.conditions import Subject
from lossearch.engine.driver.race_jobs import for_race, race_workers
from lossearch.engine.setup.config import SearchConfig
from lossearch.engine.setup.parts import TaskFacts
from lossearch.errors import UserError
from lossearch.joint_loss import AnyLoss
from lossearch.simplifying import Simplified, by_evidence, exact, kept_beside, takes_labels
from lossearch.simplifying.evidence import FEWEST_SEEDS
from lossearch.tasks.catalogue import build_task
from lossearch.tasks.user.config import FunctionConfig


def shorten_winner(
    run: RunDirectory, config: SearchConfig, facts: TaskFacts, workers: int | None, note: Callable[[str], None]
) -> None:
    """Keep the shorter form of a race's winner beside it, unless it was sought before; what was scored stays.

    The exact form costs nothing. Evidence takes trainings as long as those of the race, with as many seeds, for each
    term and number that may go; calls of a user's function take it only where the configuration asks for it. Where it
    cannot be had, the exact form is kept and `note` is told why. What was interrupted begins anew.

    Args:
        run: the run, which is locked.
        config: of the search; its `race` says how.
        facts: of the task.
        workers: processes that train, as in the race.
        note: is told what is done and what came of it.

    Raises:
        UserError: the file of shorter forms is damaged or cannot be written.
    """
    how = config.read_back
    if how == "none":
        return
    with run.open_archive(read_only=True) as archive:
        best = archive.ranked(1, task=facts.name)
    if not best or best[0].standing is None or was_sought(run, best[0].candidate.key, how == "evidence"):
        return
    winner = discovered_loss(run.path.resolve().name, best[0], 1)
    try:
        found = exact(winner, takes_labels(run, winner))
    except UserError as error:  # too large to be read back
        note(f"the winner stays as it is: {error}")
        return
    if how == "evidence":
        note(f"what the winner can do without, trainings of {facts.full_budget} steps show")
        try:
            found = _by_evidence(found, config, facts, race_workers(config, workers))
        except UserError as error:
            note(f"the winner's exact form is kept alone; `lossearch simplify {run.path}@1` tries again: {error}")
    kept_beside(run, found)
    note(_told(run, winner))


def _by_evidence(found: Simplified, config: SearchConfig, facts: TaskFacts, workers: int) -> Simplified:
    task = config.task
    subject: Subject = task if isinstance(task, FunctionConfig) else build_task(task)
    return by_evidence(
        found,
        subject,
        seeds=max(FEWEST_SEEDS, config.race.seeds),
        steps=facts.full_budget,
        time_limit=for_race(config, facts).evaluation.time_limit_s,
        workers=workers,
        device=config.evaluation.device or "cpu",
    )


def _told(run: RunDirectory, winner: AnyLoss) -> str:
    shorter = shorter_of(run, winner.key)
    if shorter is None:
        return "nothing shorter than the winner was found"
    return f"the winner is kept with a shorter form: {shorter.loss.to_text()} ({shorter.how})"
