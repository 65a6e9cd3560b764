"""Whether the scores on a card come out again."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from lossearch.archive.run_directory import describe_environment
from lossearch.cards.card import Card, CardTask, HeldOut, read_card
from lossearch.cards.facts import config_on, task_facts
from lossearch.cards.markdown import render
from lossearch.cards.trainings import CardTrainings, as_scored, on_test
from lossearch.engine.setup.subject import FoundTask, TaskLike, found_subject
from lossearch.errors import UserError
from lossearch.reading import read_text
from lossearch.tasks.catalogue import build_task
from lossearch.tasks.user.config import FunctionConfig

ROUNDING = 1e-6
"""By how much, relative to it, a metric may differ where there is no noise floor: it was computed in float32."""

_TOO_FEW = (
    "With {} trainings there is no noise floor: only rounding may differ. A final race (lossearch race) has more."
)


@dataclass(frozen=True)
class Check:
    """A mean on the card, and that of trainings just now with the same settings and seeds.

    Attributes:
        task: its name.
        split: what was judged on.
        metric: its name.
        seeds: trainings.
        recorded: mean on the card.
        found: mean just now; None where a training failed.
        noise_floor: how far two means of these trainings differ by their seeds alone; None where it is not known.
        equal: trainings that gave the very value on the card.
        message: why a training failed; otherwise empty.
    """

    task: str
    split: str
    metric: str
    seeds: int
    recorded: float
    found: float | None
    noise_floor: float | None
    equal: int
    message: str = ""

    @property
    def agrees(self) -> bool:
        """Whether both means are as close as the noise floor, or rounding where there is none, lets them be."""
        allowed = max(self.noise_floor or 0.0, ROUNDING * abs(self.recorded))
        return self.found is not None and abs(self.found - self.recorded) <= allowed


@dataclass(frozen=True)
class Verification:
    """What came of verifying a card.

    Attributes:
        card: as it was read.
        checks: of the score on validation data, or one for each table on held-out data.
        notes: what may explain a difference, in sentences.
    """

    card: Card
    checks: tuple[Check, ...]
    notes: tuple[str, ...] = ()

    @property
    def agrees(self) -> bool:
        """Whether every check does."""
        return all(check.agrees for check in self.checks)

    @property
    def verdict(self) -> str:
        """In one sentence."""
        failed = [check for check in self.checks if not check.agrees]
        if not failed:
            return f"{self.card.name} scores what its card says, within the noise floor."
        where = ", ".join(f"{check.task} ({check.split})" for check in failed)
        return f"{self.card.name} does not score what its card says on {where}."


def verify(
    card: str | Path,
    task: TaskLike | None = None,
    *,
    held_out: bool = False,
    device: str | None = None,
    progress: Callable[[str], None] | None = None,
) -> Verification:
    """Compute the score on a card again: with its formula, task, steps, learning rate and seeds, on validation data.

    A card is data. Where its task is a training function, whoever verifies it names that function.

    Args:
        card: The file.
        task: The training function of the card, as `compare` takes it; None for a bundled task, which the card holds.
        held_out: Whether to compute what it has of held-out data instead, which opens test splits.
        device: Where to train; None takes the card's.
        progress: Is told what is trained.

    Raises:
        UserError: The card is damaged, of another format, changed by hand, or names what is not there: a task, data, a
            table on held-out data; or the function is another one.
        TestSplitSealed: The process has forbidden to open test splits.
    """
    known = read_card(card)
    loss = known.to_loss()
    notes = tuple(_notes(known, read_text(card, "a loss card", "check the path")))
    tell = progress or (lambda _: None)
    if not held_out:
        score = known.score
        with _found(known.task, task) as at:
            tell(f"{len(score.seeds)} trainings on {known.task.name}, budget {score.steps}")
            trained = as_scored(loss, score, at, device or score.device or "cpu")
        check = _check(known.task, "validation", trained, score.metrics, score.noise_floor)
        if score.noise_floor is None:
            notes = (*notes, _TOO_FEW.format(len(score.seeds)))
        return Verification(known, (check,), notes)
    checks: list[Check] = []
    for table in _repeatable(known, card):
        with _found(table.task, task) as at:
            tell(f"{len(table.seeds)} trainings on {table.task.name}, budget {table.steps}, judged on its test split")
            trained = on_test(loss, table, at, device or table.device)
        checks.append(_check(table.task, "test", trained, table.values, table.noise_floor))
    return Verification(known, tuple(checks), notes)


@contextmanager
def _found(known: CardTask, task: TaskLike | None) -> Iterator[FoundTask]:
    """The task of a card: what it holds of a described one, or the function that is named."""
    if known.function is None:
        if task is not None:
            found = f"one beside the card's {known.name}"
            raise UserError("a task for the card of a training function alone", found, "leave it out")
        yield FoundTask(build_task(config_on(known)))
        return
    if task is None:
        hint = "name it: --task train.py:train, or the configuration of its search"
        raise UserError(f"the training function {known.name}: a card runs no code", "none", hint)
    metric = direction = None
    if callable(task) or (isinstance(task, str) and not task.endswith(".toml")):
        metric, direction = known.metric, "maximize" if known.higher_is_better else "minimize"
    with found_subject(task, metric, direction) as at:
        if not isinstance(at.subject, FunctionConfig):
            raise UserError(f"the training function {known.name}", f"the task {at.subject.name}", "name the function")
        today = task_facts(at.subject)
        if today.identity != known.identity:
            assert today.function is not None
            fields = {**known.function, **today.function}
            others = [name for name in fields if known.function.get(name) != today.function.get(name)]
            hint = "restore what the card was written with, or write it again"
            raise UserError(
                f"the training function {known.name} as the card knows it", f"other {', '.join(others)}", hint
            )
        yield at


def _repeatable(card: Card, path: str | Path) -> tuple[HeldOut, ...]:
    if not card.held_out:
        hint = "compare the loss (lossearch compare … --out DIR), and export it again with --card --comparison DIR"
        raise UserError("a card with a table on held-out data", f"none in {path}", hint)
    if any(table.relative_rate is None for table in card.held_out):
        hint = "compare again with --out in a new directory, and write the card again"
        raise UserError("a table whose trainings can be repeated", "one of an earlier version of lossearch", hint)
    return card.held_out


def _check(
    task: CardTask,
    split: str,
    trained: CardTrainings,
    recorded: tuple[float | None, ...],
    floor: float | None,
) -> Check:
    before = [value for value in recorded if value is not None]
    if len(before) < len(recorded):
        raise UserError("a card whose trainings succeeded", f"one that failed, on {task.name}", "write the card again")
    now = [value for value in trained.metrics if value is not None]
    whole = len(now) == len(recorded)
    return Check(
        task=task.name,
        split=split,
        metric=task.metric,
        seeds=len(recorded),
        recorded=sum(before) / len(before),
        found=sum(now) / len(now) if whole else None,
        noise_floor=floor,
        equal=sum(one == other for one, other in zip(trained.metrics, recorded, strict=True)),
        message=trained.message,
    )


def _notes(card: Card, text: str) -> Iterator[str]:
    today = describe_environment()
    others = [
        f"{name} {card.versions.get(name)}, now {today[name]}"
        for name in ("lossearch", "torch", "python", "machine")
        if name in card.versions and card.versions[name] != today[name]
    ]
    if others:
        yield f"The card was made with other versions: {'; '.join(others)}. Results may differ."
    elif card.versions and render(card) != text.replace("\r\n", "\n"):
        yield "What is written above the facts of the card is not what the facts say: go by the facts."
