"""Cards of losses: of a run from its archive, of others from trainings on a task that is named."""

from __future__ import annotations

import shlex
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from lossearch import zoo
from lossearch.archive.run_directory import RunDirectory, describe_environment
from lossearch.archive.store import Archive, Evaluation, Ranked
from lossearch.cards.card import FORMAT, SUFFIX, Card, CardTask, Score
from lossearch.cards.facts import described_task, task_facts
from lossearch.cards.held_out import HeldOutTables, held_out_in
from lossearch.cards.markdown import render
from lossearch.cards.trainings import as_default, placed_on
from lossearch.comparison.conditions import signature_of
from lossearch.comparison.statistics import noise_floor
from lossearch.engine.setup.begun import RESOLVED, continued, located
from lossearch.engine.setup.config import SearchConfig, load_config
from lossearch.engine.setup.functions import functions_of
from lossearch.engine.setup.subject import TaskLike, found_subject
from lossearch.errors import UserError
from lossearch.files import write_atomically
from lossearch.joint_loss import AnyLoss
from lossearch.named_losses import LossLike, Resolved, find
from lossearch.reading import parse_json, read_text, usable_path
from lossearch.tasks import tasks
from lossearch.tasks.catalogue import task_config
from lossearch.tasks.user.config import FunctionConfig
from lossearch.training.seeds import first

SEEDS = 10
"""Trainings of a loss that no search has scored; those of the final race of a search have the same seeds."""

FEWEST = 4
"""Below them no noise floor can be estimated."""


def card_path(exported: str | Path) -> Path:
    """Where the card of an exported file lies: beside it, as `best.card.md` beside `best.py`."""
    path = Path(exported)
    return path.with_name(f"{path.stem}{SUFFIX}")


def write_card(loss: LossLike, exported: str | Path, task: TaskLike | None = None, **details: Any) -> Path:
    """Write the card of an exported loss beside it (`best.card.md` beside `best.py`), and return its path.

    The card tells formula, canonical key, task, scores with their seeds, held-out tables where the loss was compared,
    versions and commands; `lossearch.verify` computes the scores again.

    Args:
        loss: What `load_slots` takes.
        exported: The file that `export` wrote.
        task: As of `make_card`.
        details: As of `make_card`: `comparison`, `metric`, `direction`, `steps`, `device`.

    Raises:
        UserError: As `make_card`, or the card cannot be written.
    """
    path = usable_path(card_path(exported), "a path for the card")
    write_atomically(path, render(make_card(loss, exported, task, **details)), "export again")
    return path


def make_card(
    loss: LossLike,
    exported: str | Path,
    task: TaskLike | None = None,
    *,
    comparison: str | Path | None = None,
    metric: str | None = None,
    direction: str | None = None,
    steps: int | None = None,
    device: str | None = None,
) -> Card:
    """What is known of a loss.

    Of a run's loss that is its score there, by the final race or else by the search. Any other is trained for the card:
    on the task that is named, with the learning rate of the task, at the step size of its default loss, untuned.

    Args:
        loss: What `load_slots` takes.
        exported: The file that it was exported to, which the card names.
        task: That a loss is trained on which is no run's; as `compare` takes it.
        comparison: Directory of `compare --out` whose table the card keeps; None takes that of the loss's run.
        metric: As in `compare`.
        direction: As in `compare`.
        steps: Of these trainings; None takes the task's.
        device: Where to train; None takes the configuration's, or the CPU.

    Raises:
        UserError: The loss has no score, is one of several slots', or is no run's and no task is named; or a comparison
            cannot be read.
    """
    found = find(loss)
    if found.slot:
        whole = str(loss).removesuffix(f".{found.slot}")
        required = "the losses of all slots that were trained together, for a card"
        raise UserError(required, str(loss), f"export {whole} with --card")
    if found.run is None or found.ranked is None:
        return _trained_for_it(found.loss, loss, Path(exported), task, comparison, metric, direction, steps, device)
    given = {"task": task, "metric": metric, "direction": direction, "steps": steps, "device": device}
    if told := [name for name, value in given.items() if value is not None]:
        raise UserError(
            "nothing but the loss of a run, which has a score", ", ".join(told), "leave it out, or export the formula"
        )
    return _of_run(found, found.run, found.ranked, Path(exported), comparison)


def _of_run(found: Resolved, run: RunDirectory, ranked: Ranked, exported: Path, comparison: str | Path | None) -> Card:
    config = _config(run)
    with run.open_archive(read_only=True) as archive:
        score = _score(archive, ranked, f"{run.path}@{found.rank}")
    if isinstance(config.task, FunctionConfig):
        task = task_facts(config.task)
    else:
        if config.calls_functions:
            required = "for a card a loss of bundled tasks, or of one training function"
            functions = ", ".join(functions_of(config.task))
            raise UserError(required, f"{functions} among the tasks of {run.path}", "export it without --card")
        task = described_task(task_config(config.task))
    folder = run.comparison.parent if comparison is None else Path(comparison)
    held_out = held_out_in(folder, found.loss, comparison is not None)
    place = f"{run.path.resolve().name}@{found.rank}"
    commands = (
        _search_command(run, config),
        *_compare_command(held_out, place, task, _named(task)),
        f"lossearch export {shlex.quote(place)} -o {shlex.quote(exported.name)} --card",
    )
    return _card(found.loss, task, score, held_out, commands, run.config_text(), _versions(run))


def _config(run: RunDirectory) -> SearchConfig:
    """The configuration of a run; that of a function has its files where they are now."""
    config = load_config(run.config)[0]
    if isinstance(config.task, FunctionConfig):
        return located(continued(run), run)
    return continued(run) if (run.path / RESOLVED).is_file() else config


def _score(archive: Archive, ranked: Ranked, called: str) -> Score:
    key, standing = ranked.candidate.key, ranked.standing
    if ranked.metric is None:
        raise UserError("a loss with a score, for a card", f"{called}, which failed in training", "choose another rank")
    if (stopped := archive.stopped_early(ranked)) is not None:
        hint = "choose one that was trained to the end"
        raise UserError("a loss that was trained to the end, for a card", f"{called}: {stopped}", hint)
    evaluations = [one for one in archive.evaluations(key) if standing is None or one.task == standing.task]
    if len({one.task for one in evaluations}) > 1:
        hint = "search for the tasks as a distribution, which counts as one"
        raise UserError("a loss that was scored on one task, for a card", f"{called}, on several", hint)
    as_left = evaluations[0]
    if standing is None:
        judged = sorted((one for one in evaluations if one.budget == ranked.budget), key=lambda one: one.seed)
    else:
        cell = (key, standing.task, standing.budget)
        rows = [one for one in archive.race_trainings() if (one.key, one.task, one.budget) == cell]
        judged = sorted(rows, key=lambda one: one.seed)[: standing.seeds]
    metrics = tuple(one.metric for one in judged if one.metric is not None)
    return Score(
        of="search" if standing is None else "race",
        steps=ranked.budget,
        seeds=tuple(one.seed for one in judged),
        metrics=metrics,
        learning_rate=as_left.learning_rate,
        step_scale=_scale(as_left, called),
        device=judged[0].device,
        noise_floor=floor_of(metrics),
    )


def _scale(evaluation: Evaluation, called: str) -> float:
    if not evaluation.step_scale > 0.0:
        raise UserError("a loss that was trained", f"{called}, without a step size", "choose another rank")
    return evaluation.step_scale


def floor_of(metrics: tuple[float, ...]) -> float | None:
    """How far two means of these trainings differ by their seeds alone; None where they are too few to tell."""
    return noise_floor(metrics) if len(metrics) >= FEWEST else None


def _trained_for_it(
    loss: AnyLoss,
    called: LossLike,
    exported: Path,
    task: TaskLike | None,
    comparison: str | Path | None,
    metric: str | None,
    direction: str | None,
    steps: int | None,
    device: str | None,
) -> Card:
    if task is None:
        hint = "name it (--task digits_noise), or export a loss of a run (DIR@RANK)"
        raise UserError(f"a task to score {loss.name} on, for its card", "none", hint)
    with found_subject(task, metric, direction) as at:
        whole = placed_on(loss, at)
        seeds = first("racing", SEEDS)
        trained = as_default(whole, at, seeds, steps, device)
        facts = task_facts(at.subject)
    metrics = tuple(value for value in trained.metrics if value is not None)
    if len(metrics) < len(seeds):
        hint = "a card needs a loss that trains"
        raise UserError(f"a loss that trains on {facts.name}", f"{loss.name}: {trained.message}", hint)
    score = Score(
        of="card",
        steps=trained.steps,
        seeds=seeds,
        metrics=metrics,
        learning_rate=trained.learning_rate,
        step_scale=None,
        device=trained.device,
        noise_floor=floor_of(metrics),
    )
    held_out = HeldOutTables() if comparison is None else held_out_in(Path(comparison), loss, True)
    text = called if isinstance(called, str) else loss.to_text()
    told = task if isinstance(task, str) else _named(facts)
    words = ["lossearch", "export", text, "-o", exported.name, "--card", "--task", told]
    words += [] if steps is None else ["--steps", str(steps)]
    words += ["--comparison", "comparison"] if held_out.tables else []
    commands = (*_compare_command(held_out, text, facts, told), shlex.join(words))
    return _card(whole, facts, score, held_out, commands, "", describe_environment())


def _card(
    loss: AnyLoss,
    task: CardTask,
    score: Score,
    held_out: HeldOutTables,
    commands: tuple[str, ...],
    configuration: str,
    versions: Mapping[str, Any],
) -> Card:
    return Card(
        format=FORMAT,
        name=loss.name,
        formula=loss.to_text(),
        key=loss.key,
        expanded_key=loss.graph.expanded().key,
        signature=signature_of(loss),
        source=loss.source,
        task=task,
        score=score,
        held_out=held_out.tables,
        transfer="" if held_out.drawn is None else held_out.drawn.verdict,
        configuration=configuration,
        versions=dict(versions),
        commands=commands,
    )


def _search_command(run: RunDirectory, config: SearchConfig) -> str:
    """How the search is begun from its configuration, which the card holds; places are named without their folders."""
    own = load_config(run.config)[0].seeds
    added = config.seeds[: max(0, len(config.seeds) - len(own))]
    words = ["lossearch", "search", "config.toml", "--out", run.path.resolve().name, "--seed", str(config.seed)]
    words += ["--workers", str(config.islands)] if config.islands is not None else []
    return shlex.join([*words, *(word for seed in added for word in ("--seed-with", seed))])


def _compare_command(held_out: HeldOutTables, loss: str, task: CardTask, called: str) -> Iterator[str]:
    """How a comparison is made again; nothing where there is none, or one that options cannot name.

    Args:
        held_out: its tables.
        loss: as the command calls it.
        task: of the card.
        called: what the command calls that task.
    """
    if not held_out.tables:
        return
    table, drawn = held_out.tables[0], held_out.drawn
    others = [row.loss for row in table.rows if row.source == "hand-designed" and row.loss != table.loss]
    given = others if all(name in zoo.names() for name in others) else ["--baselines"]
    if drawn is None:
        subject = ["--task", called, "--steps", str(table.steps)]
    elif drawn.draw_seed or (drawn.distribution != task.name and drawn.distribution not in tasks()):
        return
    else:
        subject = ["--distribution", called if drawn.distribution == task.name else drawn.distribution]
        subject += ["--held-out"] if drawn.part == "held_out" else []
        subject += [word for axis in drawn.boundary or () for word in ("--boundary", axis)]
        subject += ["--tasks", str(drawn.tasks)]
    numbers = ["--seeds", str(len(table.seeds)), "--trials", str(table.trials)]
    yield shlex.join(["lossearch", "compare", loss, *given, *subject, *numbers, "--out", "comparison"])


def _named(task: CardTask) -> str:
    """What a command calls a task: its name where it has one, or else the configuration of its search."""
    known = tasks().get(task.name)
    return task.name if known is not None and known.model_dump(mode="json") == task.config else "config.toml"


def _versions(run: RunDirectory) -> dict[str, Any]:
    """Of the packages that ran a search."""
    if not run.environment.is_file():
        return {}
    what, hint = f"{run.environment.name} as the search wrote it", "restore it from a copy, or delete it"
    found = parse_json(read_text(run.environment, what, hint), what, hint)
    if not isinstance(found, dict):
        raise UserError(what, f"a {type(found).__name__}", hint)
    return found
