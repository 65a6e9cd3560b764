"""What every described task's configuration says of its trainings."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lossearch.errors import UserError
from lossearch.tasks.base import Metric
from lossearch.tasks.field_error import field_error

Config = TypeVar("Config", bound="TrainingConfig")


class TrainingConfig(BaseModel, ABC):
    """Configuration of a described task: its name, its trainings, and in subclasses all else that defines it.

    Attributes:
        name: how the task is called in tables and records.
        optimizer: "sgd" or "adam".
        momentum: decay of SGD's velocity, or of Adam's first moment; adversarial training needs none of the latter.
        learning_rate: tuned for the slots' default losses on the validation split; the starting point for others.
        schedule: of the learning rate over `steps`: "constant", or "cosine" down to zero.
        weight_decay: coefficient of the L2 penalty, added to the gradient as torch.optim.SGD and Adam do.
        batch_size: samples per step; the last incomplete batch of an epoch is skipped.
        steps: full budget of one training, optimiser steps.
        slot: where losses are searched, tuned and compared, of a task with several loss slots, which needs it; or a
            list of slots, whose losses are then searched together, so that a candidate is a loss for each.
        losses: of the other slots, by slot; a slot that is not named has its default loss.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    name: str = "custom"
    optimizer: Literal["sgd", "adam"] = "sgd"
    momentum: float = Field(default=0.9, ge=0.0, lt=1.0)
    learning_rate: float = Field(default=0.05, gt=0.0)
    schedule: Literal["constant", "cosine"] = "cosine"
    weight_decay: float = Field(default=0.0, ge=0.0)
    batch_size: int = Field(default=100, ge=1)
    steps: int = Field(ge=1)
    slot: str | tuple[str, ...] | None = None
    losses: dict[str, str] = {}

    def __hash__(self) -> int:  # by its text, as a table of losses has no hash
        return hash(self.model_dump_json())

    @abstractmethod
    def ranking_metric(self) -> Metric:
        """What losses are ranked by."""

    @property
    def classes(self) -> int | None:
        """How many classes losses of logits tell apart; None where there are none, or where only the data tell."""
        return None

    def is_available(self) -> bool:
        """Whether the task's data is on disk, or needs not be fetched."""
        return True

    @property
    def base_learning_rate(self) -> float:
        """Around which tuning searches."""
        return self.learning_rate


def check_one_of(field: str, value: str, known: Collection[str]) -> None:
    """Raise `ValueError`, as validators of configurations do, where a name is not among those that are known."""
    if value not in known:
        raise ValueError(f"{field} is {value!r}, must be one of {', '.join(known)}")


def check_batch(batch_size: int, train_size: int) -> None:
    """Raise `ValueError`, as validators of configurations do, where there is no whole batch to train on."""
    if batch_size > train_size:
        raise ValueError(f"batch_size {batch_size} exceeds train_size {train_size}")


def config_from(
    spec: str | Mapping[str, Any] | Config,
    model: type[Config],
    named: Mapping[str, Mapping[str, Any]],
    fields: Callable[[tuple[str, ...]], Sequence[str]],
) -> Config:
    """The configuration that `spec` means.

    Args:
        spec: a task's name; or a mapping as read from TOML, of which an entry `base` names a task whose values the
            other entries override; or a configuration, returned as it is.
        model: of the configuration.
        named: values of the tasks that have names.
        fields: names that the table at a path may hold, for messages.

    Raises:
        UserError: no such task, or a value that does not fit.
    """
    if isinstance(spec, TrainingConfig):
        return spec
    values = {"base": spec} if isinstance(spec, str) else dict(spec)
    base = values.pop("base", None)
    if base is not None:
        if base not in named:
            raise UserError(f"one of the tasks {', '.join(named)}", f"{base!r:.80}", "see: lossearch tasks")
        values = {"name": base if not values else f"{base}_custom"} | dict(named[base]) | values
    try:
        return model.model_validate(values)
    except ValidationError as error:
        raise field_error(error, "the [task] table", lambda path: ["base", *fields(path)], "task") from error
