"""The final race of a search: its best losses, trained at the full budget on fresh seeds, rank anew."""

from __future__ import annotations

import os
from collections import defaultdict
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from lossearch.archive.margins import MovedTraining, margin
from lossearch.archive.run_directory import RunDirectory
from lossearch.archive.store import Archive, RaceTraining, Ranked, Standing
from lossearch.comparison.racing import Course, Entrant, RaceConfig, RacePlace, race
from lossearch.comparison.statistics import varies
from lossearch.engine.driver.address import check_address
from lossearch.engine.driver.display import make_display
from lossearch.engine.driver.ending import Ending, ends_told, notes_added
from lossearch.engine.driver.race_crew import Crew, Note, OpenCrew, crew_for
from lossearch.engine.driver.race_jobs import MarginJob, RaceJob, for_race
from lossearch.engine.driver.result import SearchResult
from lossearch.engine.driver.winner import shorten_winner
from lossearch.engine.remote.equipment import Equipment
from lossearch.engine.setup.begun import continued, files_now, located, write_continuation
from lossearch.engine.setup.config import SearchConfig, validate
from lossearch.engine.setup.parts import TaskFacts, make_task, task_facts
from lossearch.engine.writer.writer import WRITER_PATIENCE, hold_writer_lock
from lossearch.errors import UserError
from lossearch.tasks.user.config import FunctionConfig
from lossearch.tasks.user.function import check_not_importing
from lossearch.training.seeds import first


@dataclass(frozen=True)
class _Racer:
    """A candidate that races: as it is ranked now, and its rank by the search's own scores."""

    row: Ranked
    before: int

    @property
    def key(self) -> str:
        return self.row.candidate.key

    @property
    def entrant(self) -> Entrant:
        return Entrant(self.key, self.row.candidate.complexity or 0)


def hold_race(
    run: RunDirectory,
    config: SearchConfig,
    facts: TaskFacts,
    workers: int | None,
    note: Note,
    address: str | None = None,
    ending: Ending | None = None,
) -> None:
    """Race the best candidates of a run, or go on with its race, and rank them by that.

    A race that was interrupted goes on with the training that was under way. It counts once it has ended. Whoever
    lasted in an earlier race with the same budget races again, so that a race can be extended.

    Args:
        run: the run, which is locked, and in which nobody else writes.
        config: of the search; its `race` says who races for how long.
        facts: of the task.
        workers: processes that train; None takes as many as there are islands, at most one per CPU. On a Ray cluster,
            and where the configuration says what a training asks for, trainings run wherever there is room instead.
        note: is told how the race stands.
        address: of a Ray cluster, as in `search`.
        ending: of the command, where there is one.

    Raises:
        UserError: a worker process was killed, or the archive cannot be written.
        SearchLost: the Ray cluster is gone.
    """
    lock = hold_writer_lock(run.path, WRITER_PATIENCE)
    try:
        with run.open_archive() as archive:
            racers = _racers(archive, facts, config.race.candidates)
            if racers:
                crew = crew_for(config, address, workers, run.path, run.log, ending or Ending(run.path), note)
                _Race(archive, config, facts, racers, note).run(crew)
    finally:
        os.close(lock)


def _racers(archive: Archive, facts: TaskFacts, candidates: int) -> list[_Racer]:
    """The best by the search's own scores, the front of these, and whoever lasted in an earlier race."""
    rows = [
        *archive.ranked(candidates, task=facts.name, raced=False),
        *archive.pareto_front(task=facts.name, raced=False),
    ]
    before: dict[str, int] = {}
    earlier = {s.key: s for s in archive.standings() if s.budget == facts.full_budget and s.task == facts.name}
    for row in archive.ranked(len(earlier), task=facts.name):
        standing = earlier.get(row.candidate.key)
        if standing is not None and standing.ruled_out is None:
            rows.append(row)
            before[standing.key] = standing.before
    found: dict[str, _Racer] = {}
    for row in rows:
        key = row.candidate.key
        whole = row.standing is not None or row.budget >= facts.budget  # not stopped early
        if row.metric is not None and whole and row.candidate.graph is not None and key not in found:
            rank = archive.rank_in_search(key, task=facts.name)
            found[key] = _Racer(row, before.get(key, len(found) + 1) if rank is None else rank)
    return sorted(found.values(), key=lambda racer: (racer.before, racer.key))


def race_run(
    path: str | Path,
    *,
    candidates: int | None = None,
    seeds: int | None = None,
    steps: int | None = None,
    workers: int | None = None,
    address: str | None = None,
    progress: bool = True,
) -> SearchResult:
    """Run or extend the final race of a search, wherever its directory is now; only what is missing is trained.

    What is given here counts for later races of the run, too.

    Args:
        path: the run directory.
        candidates, seeds, steps: in place of those of the configuration's `race`.
        workers: processes that train; None takes as many as there are islands, at most one per CPU.
        address: of a Ray cluster to train on, as in `search`.
        progress: whether to say on standard error how the race stands.

    Returns:
        What was found, ranked by the race.

    Raises:
        UserError: no run directory, a damaged archive, a search that runs in it now, nothing to race, or something was
            edited that decides the results.
        SearchInterrupted: Ctrl-C, SIGTERM or SIGHUP.
        SearchLost: the Ray cluster is gone.
    """
    check_not_importing()
    run = RunDirectory.open(path)
    with ends_told(run.path) as ending, run.lock():
        check_address(address)
        given = {"candidates": candidates, "seeds": seeds, "steps": steps}
        written = _with_race(continued(run), {name: value for name, value in given.items() if value is not None})
        config = located(written, run)
        files, _ = files_now(run, config, changed_script=False)
        with run.open_archive(read_only=True) as archive:
            archive.check()
            best = archive.ranked(1, raced=False)
        if not best or best[0].metric is None:
            raise UserError("a run with losses that were trained to the end", f"none in {path}", "search longer first")
        facts = task_facts(config, make_task(config))
        write_continuation(run, written, files, None)
        with notes_added(run.path):
            ending.take_signals()
            display = make_display(config, facts.metric_with_direction)
            note = display.note if progress else lambda _: None
            hold_race(run, config, facts, workers, note, address, ending)
            shorten_winner(run, config, facts, workers, note)
        with run.open_archive(read_only=True) as archive:
            run.write_hall_of_fame(archive.hall_of_fame())
    return SearchResult(run.path)


def _with_race(config: SearchConfig, given: Mapping[str, int]) -> SearchConfig:
    """The configuration with what is given of its race; one that has switched it off races with the defaults."""
    values = config.model_dump(mode="json")
    if not values["race"]["candidates"]:
        values["race"]["candidates"] = RaceConfig.model_fields["candidates"].default
    return validate({**values, "race": {**values["race"], **given}}, "the arguments of race")


class _Race:
    """One race.

    Args:
        archive: open for writing.
        config: of the search.
        facts: of the task.
        racers: who races.
        note: is told how it stands.
    """

    def __init__(
        self, archive: Archive, config: SearchConfig, facts: TaskFacts, racers: Sequence[_Racer], note: Note
    ) -> None:
        self._archive, self._config, self._facts = archive, config, facts
        self._racers, self._note = {racer.key: racer for racer in racers}, note
        self._equipment = Equipment.of(for_race(config, facts))
        self._of_function = isinstance(config.task, FunctionConfig)
        self._seeds = first("racing", config.race.seeds)
        self._metrics: dict[str, dict[int, float | None]] = defaultdict(dict)
        for training in archive.race_trainings():
            if training.task == facts.name and training.budget == facts.full_budget:
                self._take(training)

    def run(self, open_crew: OpenCrew) -> None:
        """Train until nothing more is wanted, then rank."""
        if (course := self._course()).wanted:
            with open_crew(sum(1 for _ in self._jobs(course))) as crew:
                while course.wanted:
                    self._note(self._stand(course))
                    self._train(course, crew)
                    course = self._course()
        if jobs := list(self._margin_jobs(course)):
            trainings = sum(len(job.factors) for job in jobs)
            self._note(f"final race: {trainings} trainings at other learning rates for {len(jobs)} losses")
            with open_crew(len(jobs)) as crew:
                for trained in crew.trained(iter(jobs)):
                    self._archive.add_moved_trainings(one for one in trained if isinstance(one, MovedTraining))
        course = self._course(self._fragile(course))
        self._archive.end_race(map(self._standing, course.places))
        self._note(f"final race: {_lasted(course)}")
        if self._seed_ignored():
            same = f"{self._facts.name} gives the same {self._facts.metric} with every seed; it does not use `seed`"
            self._note(f"final race: {same}. One training judges each loss, and p-values mean nothing")

    def _seed_ignored(self) -> bool:
        """Whether all that was trained with several seeds has the same metric with each."""
        known = [list(self._metrics[key].values()) for key in self._racers]
        repeated = [values for values in known if len(values) > 1 and None not in values]
        return bool(repeated) and not any(map(varies, repeated))

    def _course(self, fragile: Collection[str] = ()) -> Course:
        entrants = [racer.entrant for racer in self._racers.values()]
        robustness = self._archive.robustness
        return race(entrants, self._metrics, self._seeds, self._facts.higher_is_better, robustness, fragile)

    def _whole(self, course: Course) -> list[str]:
        """Those that were trained on all seeds, whose learning rates are moved."""
        return [place.key for place in course.places if place.seeds == len(self._seeds) and not place.failed]

    def _fragile(self, course: Course) -> set[str]:
        """Those whose learning rate can hardly be moved, where robustness counts."""
        if not self._archive.robustness:
            return set()
        found = {key: self._moved_at(key) for key in self._whole(course)}
        return {key for key, moved in found.items() if (one := margin(moved)) is not None and one.fragile}

    def _moved_at(self, key: str) -> list[MovedTraining]:
        """The trainings of a candidate at the learning rates that the configuration names."""
        budget, factors = self._facts.full_budget, self._config.race.learning_rates
        moved = self._archive.moved_trainings(key)
        return [one for one in moved if one.budget == budget and one.factor in factors and one.seed == self._seeds[0]]

    def _margin_jobs(self, course: Course) -> Iterator[MarginJob]:
        """The trainings at other learning rates that are missing; those of one candidate train in one stack."""
        if self._of_function:
            return
        own = {
            one.key: one.metrics
            for one in self._archive.race_trainings()
            if (one.task, one.budget, one.seed) == (self._facts.name, self._facts.full_budget, self._seeds[0])
        }
        for key in self._whole(course):
            there = {one.factor for one in self._moved_at(key)}
            missing = tuple(factor for factor in self._config.race.learning_rates if factor not in there)
            if missing and own[key]:
                yield MarginJob(**self._common(key), seed=self._seeds[0], own=tuple(own[key].items()), factors=missing)

    def _common(self, key: str) -> dict[str, Any]:
        """What all jobs of a candidate have."""
        evaluation, candidate = next(self._archive.evaluations(key, self._facts.name)), self._racers[key].row.candidate
        assert candidate.graph is not None  # see `_racers`
        return {
            "equipment": self._equipment,
            "key": key,
            "graph": candidate.graph,
            "step_scale": evaluation.step_scale,
            "learning_rate": evaluation.learning_rate,
            "task": self._facts.name,
            "steps": self._facts.full_budget,
        }

    def _take(self, training: RaceTraining) -> None:
        self._metrics[training.key].setdefault(training.seed, training.metric)

    def _train(self, course: Course, crew: Crew) -> None:
        """Do what a course wants, and archive each training as it ends."""
        for trained in crew.trained(self._jobs(course)):
            trainings = [one for one in trained if isinstance(one, RaceTraining)]
            self._archive.add_race_trainings(trainings)
            for training in trainings:
                self._take(training)

    def _jobs(self, course: Course) -> Iterator[RaceJob]:
        """One for each candidate, whose seeds train in one stack; of a user's function one for each call."""
        for key, wanted in course.wanted:
            common = self._common(key)
            for together in [(seed,) for seed in wanted] if self._of_function else [wanted]:
                yield RaceJob(**common, seeds=together)

    def _standing(self, place: RacePlace) -> Standing:
        return Standing(
            key=place.key,
            task=self._facts.name,
            budget=self._facts.full_budget,
            before=self._racers[place.key].before,
            seeds=place.seeds,
            failed=place.failed,
            metric=place.metric,
            gap=place.gap,
            ruled_out=place.ruled_out,
            p_value=place.p_value,
            fragile=place.fragile,
        )

    def _stand(self, course: Course) -> str:
        trained = sum(len(wanted) for _, wanted in course.wanted)
        judged = f"after {course.judged} of {len(self._seeds)} seeds, {_lasted(course)}" if course.judged else "begins"
        losses = len(course.wanted)
        return f"final race: {judged}; {trained} trainings of {self._facts.full_budget} steps for {losses} losses"


def _lasted(course: Course) -> str:
    lasting = sum(place.ruled_out is None and not place.failed for place in course.places)
    return f"{lasting} of {len(course.places)} losses lasted"
