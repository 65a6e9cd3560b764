"""Runs side by side: what each found and cost, which share a task, and where their configurations differ."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from lossearch.archive.run_directory import RunDirectory
from lossearch.engine.setup.begun import RESOLVED, flat
from lossearch.engine.setup.config import SearchConfig, load_config
from lossearch.engine.setup.parts import island_limits
from lossearch.engine.setup.state import IslandState, newest_states
from lossearch.errors import UserError
from lossearch.reading import read_text
from lossearch.report.run_summary import RunSummary, summarize
from lossearch.tasks.catalogue import task_config
from lossearch.tasks.user.config import FunctionConfig

_SAID = "not set"


@dataclass(frozen=True)
class OneRun:
    """A run among others.

    Attributes:
        label: by which it is told from the others: its directory, with as many of those around it as that takes.
        run: what it holds.
        course: (steps of scored trainings so far, best score from then on).
        steps: of all scored trainings, those of the race apart.
        race_steps: of the trainings of the final race.
        task: what defines its task, as text.
        fields: of its configuration, by dotted names, as text.
        ended: whether it reached its limits and its race, if it has one, ended; None where that is not known.
    """

    label: str
    run: RunSummary
    course: tuple[tuple[int, float], ...]
    steps: int
    race_steps: int
    task: str
    fields: Mapping[str, str]
    ended: bool | None


@dataclass(frozen=True)
class Group:
    """Runs whose scores are of one metric on one task. name: of the task and, where several have it, a number."""

    name: str
    runs: tuple[OneRun, ...]

    @property
    def first(self) -> RunSummary:
        """The first run; metric, direction and units are those of all."""
        return self.runs[0].run

    @property
    def comparable(self) -> bool:
        """Whether all scores are means over as many seeds, at one budget, all by a race or none."""
        rows = [one.run.best.ranked for one in self.runs if one.run.best is not None]
        return len({(row.seeds, row.budget, row.standing is None) for row in rows}) <= 1

    @property
    def ranked(self) -> tuple[OneRun, ...]:
        """The runs, the best score first; those without one last."""
        sign = -1.0 if self.first.higher_is_better else 1.0
        scored = [(sign * one.run.best.metric, one) for one in self.runs if one.run.best is not None]
        rest = [one for one in self.runs if one.run.best is None]
        return (*(one for _, one in sorted(scored, key=lambda pair: pair[0])), *rest)


def read_runs(paths: Sequence[Path]) -> list[OneRun]:
    """The runs in these directories, in their order.

    Raises:
        UserError: one is no run or damaged, or is named twice.
    """
    places: dict[Path, Path] = {}
    for path in paths:
        place = RunDirectory.open(path).path.resolve()
        if place in places:
            raise UserError("runs that are all different", f"{path} and {places[place]} are one", "name it once")
        places[place] = path
    labels = _labels(list(places))
    return [_read(path, label) for path, label in zip(paths, labels, strict=True)]


def grouped(runs: Sequence[OneRun]) -> list[Group]:
    """The runs by task and metric."""
    found: dict[tuple[str, str, bool], list[OneRun]] = {}
    for one in runs:
        found.setdefault((one.task, one.run.metric, one.run.higher_is_better), []).append(one)
    groups: list[Group] = []
    for members in found.values():
        name = ", ".join(members[0].run.tasks) or "a task without scores"
        number = sum(group.name.partition(" (")[0] == name for group in groups) + 1
        groups.append(Group(name if number == 1 else f"{name} ({number})", tuple(members)))
    return groups


def differences(runs: Sequence[OneRun]) -> list[tuple[str, list[str]]]:
    """Fields of the configurations that differ, each with its value in every run."""
    names = dict.fromkeys(name for one in runs for name in one.fields)
    rows = [(name, [one.fields.get(name, _SAID) for one in runs]) for name in names]
    return [(name, values) for name, values in rows if len(set(values)) > 1]


def _read(path: Path, label: str) -> OneRun:
    directory = RunDirectory.open(path)
    summary = summarize(path)
    resolved = directory.path / RESOLVED
    config = (
        SearchConfig.parse_json(read_text(resolved, "a configuration", "restore it from a copy"), str(resolved))
        if resolved.is_file()
        else load_config(directory.config)[0]
    )
    with directory.open_archive(read_only=True) as archive:
        steps, at = 0, dict[int | None, int]()
        for evaluation in archive.evaluations():
            steps += evaluation.budget
            at[evaluation.id] = steps
        race_steps = sum(training.budget for training in archive.race_trainings())
    return OneRun(
        label=label,
        run=summary,
        course=tuple((at.get(number, steps), best) for number, best in summary.course),
        steps=steps,
        race_steps=race_steps,
        task=_task(config),
        fields={name: json.dumps(value) for name, value in flat(config.model_dump(mode="json")).items()},
        ended=_ended(directory, config, summary) if resolved.is_file() else None,
    )


def _task(config: SearchConfig) -> str:
    """What results depend on, but for the steps that a training has: those are a setting of the search."""
    if isinstance(config.task, FunctionConfig):
        return config.task.name
    return task_config(config.task).model_dump_json(exclude={"name"})


def _ended(run: RunDirectory, config: SearchConfig, summary: RunSummary) -> bool:
    islands = config.islands or 1
    states = {island: IslandState.loads(saved.text) for island, saved in newest_states(run.checkpoints).states.items()}
    reached = (
        island in states and island_limits(config, island, islands).reached(states[island]) for island in range(islands)
    )
    return all(reached) and (not config.race.candidates or summary.race is not None)


def _labels(places: Sequence[Path]) -> Iterator[str]:
    """The end of each path that no other path has."""
    for place in places:
        parts = place.parts
        ends = (Path(*parts[-length:]) for length in range(1, len(parts) + 1))
        others = [other for other in places if other != place]
        yield str(next((end for end in ends if not any(_ends_with(one, end) for one in others)), place))


def _ends_with(place: Path, end: Path) -> bool:
    return place.parts[-len(end.parts) :] == end.parts
