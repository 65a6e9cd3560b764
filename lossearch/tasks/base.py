"""What every task tells, whatever is trained in it: what searching, tuning, comparing and advising speak to."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from lossearch.errors import UserError
from lossearch.tasks.directions import Direction


@dataclass(frozen=True)
class Metric:
    """What losses are ranked by.

    Attributes:
        name: as configurations and reports call it.
        higher_is_better: direction of improvement.
        lower: smallest possible value.
        upper: largest possible value.
        description: one line.
    """

    name: str
    higher_is_better: bool
    lower: float = -math.inf
    upper: float = math.inf
    description: str = ""

    def is_better(self, a: float, b: float) -> bool:
        """Whether `a` is strictly better than `b`."""
        return a > b if self.higher_is_better else a < b


@dataclass(frozen=True)
class Slot:
    """A place of a task's training step at which a loss stands.

    Attributes:
        signature: of its losses: the inputs that the step gives them.
        default: the loss that stands there unless another is given, as `lossearch.load` takes it.
        stand_in: whether the task knows no loss of its own and `default` stands in for it: a search then takes its
            reference from the space.
    """

    signature: str
    default: str
    stand_in: bool = False


@dataclass(frozen=True)
class Rights:
    """What a task's trainings allow.

    Attributes:
        learning_rate: they take a learning rate, which tuning needs; without, a comparison tunes none.
        test: they can be judged on a test split, which a comparison needs.
        device: they can be told where to run.
    """

    learning_rate: bool = True
    test: bool = True
    device: bool = True


class MakesLosses(Protocol):
    """What losses are made with in a task."""

    @property
    def tells_progress(self) -> bool:
        """Whether trainings tell losses how much of them is over."""
        ...

    def buffers(self, slot: str) -> Mapping[str, Tensor]:
        """Tensors that losses of a slot are made with, such as class weights, by the names of its signature."""
        ...


class Task(MakesLosses, Protocol):
    """What is known of a task before anything is trained in it."""

    @property
    def name(self) -> str:
        """As archives and reports call it."""
        ...

    @property
    def slots(self) -> Mapping[str, Slot]:
        """The places at which losses stand, by name; `loss` where there is one alone."""
        ...

    @property
    def searched(self) -> tuple[str, ...]:
        """The slots whose losses are searched, tuned and compared, together; the others keep theirs."""
        ...

    @property
    def several(self) -> bool:
        """Whether a candidate maps slots to losses; otherwise it is one loss."""
        ...

    @property
    def metric(self) -> Metric:
        """What ranks losses."""
        ...

    @property
    def judging_metric(self) -> Metric:
        """What `judge` gives."""
        ...

    @property
    def directions(self) -> Mapping[str, Direction]:
        """Directions of further metrics, by name, where the configuration gives them."""
        ...

    @property
    def budget(self) -> int | None:
        """Of a full training, in the task's own units; None where a configuration has to say it."""
        ...

    @property
    def base_learning_rate(self) -> float:
        """The learning rate around which tuning searches."""
        ...

    @property
    def rights(self) -> Rights:
        """What trainings allow."""
        ...

    @property
    def default_device(self) -> str | None:
        """Where to train where no device is asked for; None where trainings decide by themselves."""
        ...

    @property
    def ends_late_trainings(self) -> bool:
        """Whether a training that does not come back is ended by the task, at a time limit of its own."""
        ...

    @property
    def stops_scoring(self) -> bool:
        """Whether scoring a candidate can stop where it lags behind others (`evaluation.stopping`)."""
        ...

    @property
    def buffers_vary(self) -> bool:
        """Whether losses are made with other buffers in other trainings; a number that never varies is a constant."""
        ...

    def notes(self) -> Mapping[str, str]:
        """What a user should know of the task before a search, by topic.

        `rejection` is about the rejection test, where that is applied, and `slot` about which losses are searched.
        """
        ...

    def describe(self) -> str:
        """The task in one line, with sizes where they are known."""
        ...

    def judge(self, slot: str, inputs: Mapping[str, Tensor]) -> Tensor | None:
        """The metric that ranks, from what a slot's loss is given: `[]`. None where it does not follow from that."""
        ...


def only_slot(task: Task) -> str:
    """The slot that is searched, of a task that searches one alone; raises `UserError` where it is several."""
    if len(task.searched) != 1:
        found = f"{task.name}, which searches {' and '.join(task.searched)} together"
        hint = f'name one of them in a configuration: task = {{ base = "{task.name}", slot = "{task.searched[0]}" }}'
        raise UserError("a task that searches one of its slots", found, hint)
    return task.searched[0]


class HasRights(Protocol):
    """What is asked of a task whose trainings are to do more than train."""

    @property
    def name(self) -> str:
        """As archives and reports call it."""
        ...

    @property
    def slots(self) -> Mapping[str, Slot]:
        """The places at which losses stand, by name."""
        ...

    @property
    def rights(self) -> Rights:
        """What trainings allow."""
        ...


def require(task: HasRights, purpose: str, asked: str = "") -> None:
    """Raise `UserError` where a task lacks a right that a purpose, "tune" or "compare", needs.

    The message names what has to be added to a training function, and the setting that asked for it.
    """
    right = {"tune": "learning_rate", "compare": "test"}[purpose]
    if not getattr(task.rights, right):
        keyword, _ = _KEYWORDS[right]
        raise UserError(
            f"a training function with {keyword}, to {purpose} losses",
            f"{task.name} without" + (f", and {asked}" if asked else ""),
            addition(right, len(task.slots) > 1),
        )


def addition(right: str, several: bool = False) -> str:
    """What has to be added to a training function, of one loss or of several, that lacks a right."""
    keyword, use = _KEYWORDS[right]
    return f"add it: def train({'losses' if several else 'loss'}, budget, seed, *, {keyword}), and {use}"


_KEYWORDS = {
    "learning_rate": ("learning_rate=1.0", "multiply your optimiser's learning rate by it"),
    "test": ('split="validation"', 'yield the metric on your test data where split is "test"'),
}
"""By right: the keyword of a training function that gives it, and what the function does with it."""
