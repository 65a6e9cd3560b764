"""Configurations of task distributions: along which axes tasks differ, and which options are held out."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Literal, Self

from pydantic import Field, model_validator

from lossearch.errors import UserError
from lossearch.tasks.base import Metric
from lossearch.tasks.distribution.function_task import FUNCTION, Place, axes_with_paths, functions_in, is_function
from lossearch.tasks.distribution.sampling import Drawn, Option, different_tasks, drawn_tasks, overlap
from lossearch.tasks.streams import MAX_SEED
from lossearch.tasks.training_config import TrainingConfig, config_from
from lossearch.tasks.user.paths import Change

Names = Annotated[tuple[str, ...], Field(min_length=1)]

Fitness = Literal["mean", "iqm", "worst", "rank"]
"""What is made of the results on all tasks of a distribution, see `DistributionConfig.fitness`."""

Part = Literal["search", "held_out"]

GAIN = Metric(
    "gain", higher_is_better=True, description="difference to each task's tuned reference loss, in its noise floors"
)
RANK = Metric(
    "rank",
    higher_is_better=False,
    lower=1.0,
    description="rank among the losses of the panel, averaged over tasks; 1 is ahead of all",
)


_NAME = re.compile(r"[A-Za-z][A-Za-z0-9_.-]{0,60}")
_OF_TASKS = ("steps", "optimizer", "momentum", "learning_rate", "schedule", "weight_decay", "batch_size")


class DistributionConfig(TrainingConfig):
    """Everything that defines a distribution and which tasks of it are drawn.

    A task takes one option of each axis; where two set the same value, that of the later axis counts.

    Attributes:
        family: "distribution".
        axes: by axis the options, by name: values of a task's configuration, one of which names its `base`. An option
            with `function` is a training function of yours, a task by itself, whatever the options of other axes. Part
            "held_out" has those functions alone that are held out on an axis that is crossed.
        search: by axis the options that a search draws from; all that are not held out where an axis is not named.
        held_out: by axis the options that no search sees. An axis that is not named is shared by both parts.
        part: which part tasks are drawn from.
        boundary: of part "held_out" the axes of which held-out options are drawn, those of a search elsewhere; without
            it all. So each boundary can be crossed alone.
        tasks: how many are drawn; the options of an axis come about equally often.
        draw_seed: draws them.
        fitness: what is made of the gains on all tasks, which are differences to the reference loss in noise floors of
            the task. "mean": a large gain on one task can outweigh losses on others. "iqm": interquartile mean, which
            leaves out the quarter of tasks with the largest gains and that with the smallest, so that it does not see
            a task on which a loss does badly. "worst": the smallest gain, which a single hard or noisy task decides.
            "rank": in place of gains the mean rank among the losses of `panel`, which does not see by how much. A loss
            whose training fails on one task has failed.
        panel: hand-designed losses; the first is the reference of gains, without any the default of the slot. More than
            one are for "rank" alone.
        slot: of all tasks, as of a single one.
        losses: of the other slots of all tasks.
        steps: each task has its own, as it has its optimiser, batch size and all else of its trainings. Its learning
            rate is that at which the reference does best.
    """

    family: Literal["distribution"] = "distribution"
    axes: Annotated[dict[str, dict[str, Option]], Field(min_length=1)]
    search: dict[str, Names] = Field(default={})
    held_out: dict[str, Names] = Field(default={})
    part: Part = "search"
    boundary: tuple[str, ...] | None = None
    tasks: int = Field(default=4, ge=1, le=1000)
    draw_seed: int = Field(default=0, ge=0, le=MAX_SEED)
    fitness: Fitness = "mean"
    panel: tuple[str, ...] = ()
    steps: int = Field(default=1, ge=1)

    def ranking_metric(self) -> Metric:
        """What losses are ranked by."""
        return RANK if self.fitness == "rank" else GAIN

    @property
    def base_learning_rate(self) -> float:
        """A factor on the learning rate of each task at which its reference does best."""
        return 1.0

    @property
    def functions(self) -> dict[str, Place]:
        """The training functions that may be drawn, by the table of a search configuration that names each."""
        return functions_in(self._axes_of_part())

    def with_paths(self, change: Change) -> Self:
        """The distribution with other paths of all training functions, those that are held out included."""
        return self.model_copy(update={"axes": axes_with_paths(self.axes, change)}) if self._has_functions else self

    @property
    def _has_functions(self) -> bool:
        return any(is_function(option) for options in self.axes.values() for option in options.values())

    def drawn(self) -> list[Drawn]:
        """The tasks that are drawn; see `drawn_tasks`."""
        return drawn_tasks(self._axes_of_part(), self.tasks, self.draw_seed, self._common())

    def available(self) -> int:
        """How many of `tasks` different ones there are to be drawn."""
        return len(different_tasks(self._axes_of_part(), self.tasks, self.draw_seed, self._common()))

    def _axes_of_part(self) -> dict[str, dict[str, Option]]:
        found = {axis: {name: options[name] for name in self.options(axis)} for axis, options in self.axes.items()}
        for axis, options in found.items():
            if not options:
                found_here = f"functions alone on axis {axis}, none of them held out on an axis that is crossed"
                hint = f"hold one of {axis} out, or add an option with a bundled task"
                raise UserError("held-out tasks other than those that a search sees", found_here, hint)
        return found

    def _common(self) -> Option:
        return {"slot": self.slot, "losses": self.losses} if self.slot is not None else {}

    def is_available(self) -> bool:
        """Whether the data of all tasks that are drawn are on disk."""
        return all(task.is_available() for task in self.drawn())

    def options(self, axis: str) -> tuple[str, ...]:
        """Names of the options of an axis from which tasks are drawn."""
        crossed = self.held_out if self.boundary is None else self.boundary
        if self.part == "held_out" and axis in self.held_out and axis in crossed:
            return self.held_out[axis]
        withheld = self.held_out.get(axis, ())
        names = self.search.get(axis) or tuple(name for name in self.axes[axis] if name not in withheld)
        if self.part == "search":
            return names
        return tuple(name for name in names if not is_function(self.axes[axis][name]))  # a search sees the same task

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        for name in _OF_TASKS:
            if getattr(self, name) != type(self).model_fields[name].default:
                raise ValueError(f"{name} belongs to the tasks of a distribution: set it in the options of an axis")
        for axis, options in self.axes.items():
            if not options:
                raise ValueError(f"axis {axis} has no options")
        for part, given in (("search", self.search), ("held_out", self.held_out)):
            for axis, names in given.items():
                if axis not in self.axes:
                    raise ValueError(f"{part} names the axis {axis!r}, must be among {', '.join(self.axes)}")
                if unknown := [name for name in names if name not in self.axes[axis]]:
                    known = ", ".join(self.axes[axis])
                    raise ValueError(f"{part}.{axis} names {', '.join(unknown)}, must be among {known}")
        for axis, options in self.axes.items():
            for name in (axis, *options):
                if not _NAME.fullmatch(name):
                    raise ValueError(
                        f"{name!r} is no name of letters, digits, '_', '.' and '-' that begins with a letter"
                    )
        with_functions = [axis for axis, options in self.axes.items() if any(map(is_function, options.values()))]
        if len(with_functions) > 1:
            raise ValueError(f"functions are options of one axis, found some on {' and '.join(with_functions)}")
        places = list(self.axes)
        for axis, names in self.held_out.items():
            searched = {name: option for name, option in self.axes[axis].items() if name not in names}
            if same := [name for name in names if self.axes[axis][name] in searched.values()]:
                raise ValueError(f"{same[0]} of axis {axis} is held out, and has the values of another option")
            for name, other in ((name, other) for name in names for other in searched):
                if overlap(self.axes[axis][name], searched[other]):
                    raise ValueError(
                        f"{name} of axis {axis} is held out, and its range overlaps that of {other}: a task could be"
                        " drawn of both; let the ranges lie apart"
                    )
            functions = {option.get(FUNCTION): name for name, option in searched.items() if is_function(option)}
            if same := [name for name in names if self.axes[axis][name].get(FUNCTION) in functions]:
                raise ValueError(f"{same[0]} of axis {axis} is held out, and is the function of another option")
            own = {field for option in self.axes[axis].values() if not is_function(option) for field in option}
            for later in places[places.index(axis) + 1 :]:
                if over := sorted(own & {field for option in self.axes[later].values() for field in option}):
                    raise ValueError(f"axis {later} sets {over[0]}, by which the held-out axis {axis} differs")
        for axis, names in self.held_out.items():
            if both := sorted(set(names) & set(self.search.get(axis, ()))):
                raise ValueError(f"{', '.join(both)} of axis {axis} is both searched and held out")
            if set(names) == set(self.axes[axis]):
                raise ValueError(f"all options of axis {axis} are held out, so that nothing is left to search on")
        if unknown := [axis for axis in self.boundary or () if axis not in self.held_out]:
            raise ValueError(f"boundary names {', '.join(unknown)}, must be among the axes that are held out")
        if self.part == "held_out" and not self.held_out:
            raise ValueError("nothing is held out: name options of an axis under held_out")
        if self.fitness == "rank" and len(self.panel) < 2:
            raise ValueError("fitness 'rank' needs a panel of two losses or more")
        if self.fitness != "rank" and len(self.panel) > 1:
            raise ValueError("a panel of several losses is for fitness 'rank' alone")
        return self


_NOISE: dict[str, Option] = {
    "clean": {"noise": "none", "noise_rate": 0.0},
    "symmetric": {"noise": "symmetric", "noise_rate": {"low": 0.2, "high": 0.6}},
    "asymmetric": {"noise": "asymmetric", "noise_rate": {"low": 0.1, "high": 0.4}},
}

_OUTLIERS: dict[str, Option] = {
    "clean": {"outliers": 0.0},
    "scattered": {
        "outlier_kind": "scattered",
        "outliers": {"low": 0.1, "high": 0.4},
        "outlier_size": {"low": 3.0, "high": 10.0},
    },
    "swapped": {"outlier_kind": "swapped", "outliers": {"low": 0.1, "high": 0.4}},
    "shifted": {"outliers": {"low": 0.1, "high": 0.3}, "outlier_size": {"low": 3.0, "high": 10.0}},
}

NAMED: dict[str, dict[str, Any]] = {
    "noisy_images": {
        "axes": {
            "data": {"digits": {"base": "digits"}, "fashion": {"base": "fashion", "steps": 300}},
            "corruption": _NOISE,
            "size": {"small": {"train_size": 400}, "usual": {"train_size": 800}},
            "model": {
                "mlp": {"model": {"name": "mlp", "hidden": [64]}},
                "cnn": {"model": {"name": "cnn", "channels": [8, 16]}},
            },
        },
        "held_out": {"data": ["fashion"], "corruption": ["asymmetric"], "model": ["cnn"]},
    },
    "robust_regression": {
        "axes": {
            "data": {
                "diabetes": {"base": "diabetes"},
                "computers": {"base": "computers_outliers"},
                "diamonds": {"base": "diamonds", "train_size": 1000, "val_size": 3000, "steps": 300},
            },
            "corruption": _OUTLIERS,
            "model": {"linear": {"hidden": []}, "narrow": {"hidden": [32]}, "deep": {"hidden": [32, 32]}},
            "optimizer": {
                "sgd": {"optimizer": "sgd", "learning_rate": 0.003},
                "adam": {"optimizer": "adam", "learning_rate": 0.01},
            },
        },
        "held_out": {"data": ["diamonds"], "corruption": ["shifted"], "model": ["deep"]},
    },
}
"""Values of the distributions that have names, in listing order."""


def distribution_config(spec: str | Mapping[str, Any] | TrainingConfig) -> DistributionConfig:
    """The configuration of a distribution that `spec` means, see `config_from`."""
    if isinstance(spec, TrainingConfig) and not isinstance(spec, DistributionConfig):
        raise UserError("a distribution of tasks", spec.name, "write one as a table with axes")
    base = spec.get("base") if isinstance(spec, Mapping) else spec
    if isinstance(base, str) and base not in NAMED:
        found, hint = f"{base!r:.80}", "write one as a table with axes, see docs/TASKS.md"
        raise UserError(f"one of the distributions {', '.join(NAMED)}", found, hint)
    return config_from(spec, DistributionConfig, NAMED, lambda path: list(DistributionConfig.model_fields))
