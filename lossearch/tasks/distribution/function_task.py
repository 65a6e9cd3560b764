"""A training function of the user's as one task of a distribution."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from typing import Any, Self

from pydantic import Field, PrivateAttr, ValidationError

from lossearch.errors import UserError
from lossearch.tasks.base import Metric, Rights, Slot
from lossearch.tasks.field_error import field_error
from lossearch.tasks.user.config import FunctionConfig, user_task
from lossearch.tasks.user.function import is_file_reference
from lossearch.tasks.user.paths import Change, Place, placed

FUNCTION = "function"
"""The field of an option that names a training function."""


class FunctionMemberConfig(FunctionConfig):
    """An option of an axis that is a training function of the user's own: a task by itself.

    Attributes:
        signature: of the loss that it takes.
        steps: budget of a full training, in the function's own units.
        time_limit_s: seconds for one call; without it `evaluation.time_limit_s`.
    """

    signature: str = "dense"
    steps: int = Field(ge=1)
    time_limit_s: float | None = Field(default=None, gt=0.0)
    _called: str = PrivateAttr(default="")

    @property
    def name(self) -> str:
        """The option's, as tables and records call the task."""
        return self._called

    def called(self, name: str) -> Self:
        """The same under another name."""
        found = self.model_copy()
        found._called = name
        return found

    def is_available(self) -> bool:
        """Whether its file is there, if it is named by one."""
        return not is_file_reference(self.function) or os.path.isfile(self.function.rpartition(":")[0])


class FunctionTask:
    """A training function as one task of a distribution.

    Args:
        config: names it.

    Attributes:
        function: what calls it.

    Raises:
        UserError: the function cannot be found, or there is no loss of its signature.
    """

    def __init__(self, config: FunctionMemberConfig) -> None:
        self.config = config
        try:
            self.function = user_task(config, config.time_limit_s, config.signature)
            self.slots: Mapping[str, Slot] = self.function.slots
        except UserError as error:
            raise of_option(error, config.name) from error

    @property
    def name(self) -> str:
        """The option's."""
        return self.config.name

    @property
    def metric(self) -> Metric:
        """What ranks losses."""
        return self.function.metric

    @property
    def searched(self) -> tuple[str, ...]:
        """The slot of its loss."""
        return self.function.searched

    @property
    def budget(self) -> int:
        """Of a full training, in the function's own units."""
        return self.config.steps

    @property
    def rights(self) -> Rights:
        """What the function allows by the keywords that it takes."""
        return self.function.rights

    @property
    def called(self) -> dict[str, Any]:
        """How it is called in a comparison: its budget, and the limit of a call where it has one of its own."""
        limit = self.config.time_limit_s
        return {"steps": self.budget} | ({} if limit is None else {"time_limit": limit})


def of_option(error: UserError, name: str) -> UserError:
    """The error of a function with the option that names it."""
    return UserError(error.required, f"{error.found}, with the function of the option {name}", error.hint)


def function_config(values: Mapping[str, Any], axis: str, option: str) -> FunctionMemberConfig:
    """The configuration that the option of an axis means; raises `UserError` for a value that does not fit."""
    try:
        return FunctionMemberConfig.model_validate(dict(values))
    except ValidationError as error:
        fields = list(FunctionMemberConfig.model_fields)
        raise field_error(error, "the option", lambda path: fields, f"axes.{axis}.{option}") from error
    except UserError as error:  # the metric's direction
        raise of_option(error, option) from error


Axes = Mapping[str, Mapping[str, Mapping[str, Any]]]
"""By axis its options, by name."""


def is_function(option: Mapping[str, Any]) -> bool:
    """Whether an option is a training function."""
    return FUNCTION in option


def functions_in(axes: Axes) -> dict[str, Place]:
    """The functions among options, by the table of a search configuration that names each."""
    return {_table(axis, name): _place(option) for axis, name, option in _options(axes)}


def axes_with_paths(axes: Axes, change: Change) -> dict[str, dict[str, dict[str, Any]]]:
    """The axes with other paths of their functions."""
    found = {axis: {name: dict(option) for name, option in options.items()} for axis, options in axes.items()}
    for axis, name, option in _options(axes):
        found[axis][name] |= placed(_place(option), change, _table(axis, name))
    return found


def _options(axes: Axes) -> Iterator[tuple[str, str, Mapping[str, Any]]]:
    """Those options whose function is named as one is; others are refused where tasks are drawn."""
    for axis, options in axes.items():
        for name, option in options.items():
            if isinstance(option.get(FUNCTION), str) and isinstance(option.get("folder", "."), str):
                yield axis, name, option


def _table(axis: str, name: str) -> str:
    return f"task.axes.{axis}.{name}"


def _place(option: Mapping[str, Any]) -> Place:
    return Place(option[FUNCTION], option.get("folder", "."))
