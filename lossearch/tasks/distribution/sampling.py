"""Drawing tasks along axes of options: a pure function of the options and a seed."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from lossearch.errors import UserError
from lossearch.tasks.catalogue import task_config
from lossearch.tasks.distribution.function_task import FunctionMemberConfig, function_config, is_function
from lossearch.tasks.streams import Stream, generator
from lossearch.tasks.training_config import TrainingConfig

Option = dict[str, Any]
"""Values of a task's configuration. A table with `low` and `high` is a range, with `log = true` one of magnitudes.

One with `function` is a training function of the user's, which is a task by itself.
"""

Axes = Mapping[str, Mapping[str, Option]]
"""By axis the options from which one is taken, by name."""

Drawn = TrainingConfig | FunctionMemberConfig
"""The configuration of a task that was drawn."""

_TRIES = 1000  # draws in a row that gave nothing new, after which all tasks are taken to have been drawn


def drawn_tasks(axes: Axes, count: int, seed: int, common: Option) -> list[Drawn]:
    """As `different_tasks`; raises `UserError` too where there are fewer."""
    found = different_tasks(axes, count, seed, common)
    if len(found) == count:
        return found
    told = ", ".join(f"{axis}: {' '.join(options)}" for axis, options in axes.items())
    raise UserError(f"{count} different tasks of {told}", str(len(found)), f"ask for {len(found)}, or add options")


def different_tasks(axes: Axes, count: int, seed: int, common: Option) -> list[Drawn]:
    """Different tasks, each named after its options; fewer where there are no more.

    Every axis goes through its options in a random order before any comes again. Where options of two axes set the same
    value, that of the later axis counts. A training function is the same task whatever the options of other axes.

    Args:
        axes: where tasks differ.
        count: how many.
        seed: draws them.
        common: values of all tasks, unless an option sets them.

    Raises:
        UserError: options do not make a task.
    """
    draw = generator(seed, Stream.TASKS)
    decks = {axis: _Deck(list(options), draw) for axis, options in axes.items()}
    found: dict[str, Drawn] = {}
    in_vain = 0
    while len(found) < count and in_vain < _TRIES:
        one = _task({axis: (name := deck.next(), axes[axis][name]) for axis, deck in decks.items()}, draw, common)
        known = found.setdefault(values_of(one), one)
        in_vain = 0 if known is one else in_vain + 1
    return list(found.values())


def values_of(config: Drawn) -> str:
    """All by which tasks differ: everything but the name."""
    unnamed = config.model_copy(update={"name": ""}) if isinstance(config, TrainingConfig) else config
    return unnamed.model_dump_json()


class _Deck:
    """Options in a random order, each once before any comes again."""

    def __init__(self, names: Sequence[str], draw: np.random.Generator) -> None:
        self._names, self._draw = list(names), draw
        self._left: list[str] = []

    def next(self) -> str:
        """An option."""
        if not self._left:
            self._left = [self._names[k] for k in self._draw.permutation(len(self._names))]
        return self._left.pop()


def _task(chosen: Mapping[str, tuple[str, Option]], draw: np.random.Generator, common: Option) -> Drawn:
    chosen = {axis: one for axis, one in chosen.items() if is_function(one[1])} or chosen
    values, told = dict(common), list[str]()
    for axis, (name, option) in chosen.items():
        settled = {field: _settled(option[field], f"{axis}.{name}.{field}", draw) for field in sorted(option)}
        values |= settled
        told.append("_".join([name, *(f"{settled[field]:g}" for field in settled if _is_range(option[field]))]))
    (axis, (first, option)), *_ = chosen.items()
    if is_function(option):
        return function_config({name: values[name] for name in option}, axis, first).called(told[0])
    try:
        return task_config({**values, "name": "+".join(told)})
    except UserError as error:
        options = ", ".join(f"{axis} {name}" for axis, (name, _) in chosen.items())
        raise UserError(error.required, f"{error.found}, with the options {options}", error.hint) from None


def overlap(one: Option, other: Option) -> bool:
    """Whether two options, of which each may have ranges, can settle on the same values."""
    if one.keys() != other.keys():
        return False
    return all(_can_agree(one[field], other[field]) for field in one)


def _can_agree(one: Any, other: Any) -> bool:
    """Whether two values are equal, or one lies in the range of the other, or both have ranges that meet."""
    ends = [(value["low"], value["high"]) if _is_range(value) else (value, value) for value in (one, other)]
    if not _is_range(one) and not _is_range(other):
        return bool(one == other)
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for pair in ends for end in pair)
    return numbers and max(low for low, _ in ends) <= min(high for _, high in ends)


def _is_range(value: object) -> bool:
    return isinstance(value, Mapping) and "low" in value and "high" in value


def _settled(value: Any, place: str, draw: np.random.Generator) -> Any:
    """A value; of a range a number within it, of three digits, and whole where both ends are."""
    if not _is_range(value):
        return value
    low, high, log = value["low"], value["high"], value.get("log", False)
    numbers = all(isinstance(end, int | float) and not isinstance(end, bool) for end in (low, high))
    if not numbers or not low < high or (log and low <= 0) or value.keys() - {"low", "high", "log"}:
        required = "a range as { low = 0.1, high = 0.6 } with low < high, and low > 0 where log = true"
        raise UserError(required, f"{place} = {dict(value)!r:.80}", "correct the range")
    number = math.exp(draw.uniform(math.log(low), math.log(high))) if log else draw.uniform(low, high)
    if isinstance(low, int) and isinstance(high, int):
        return int(min(max(round(number), low), high))
    return float(min(max(float(f"{number:.3g}"), low), high))
