"""Ranking what an archive holds: Pareto front, hall of fame, course of the search. Queries, never kept as
state.
"""

from __future__ import annotations

import heapq
import math
from collections.abc import Iterable
from itertools import groupby
from typing import Any, NamedTuple, TypeVar

from lossearch.archive.failures import Failure, summed
from lossearch.archive.races import ArchiveRaces
from lossearch.archive.records import (
    ACCEPTED,
    CANDIDATE_KINDS,
    MAYBE_REAL,
    MAYBE_TEXT,
    MAYBE_WHOLE,
    OK,
    REAL,
    TEXT,
    WHOLE,
    Candidate,
    Kinds,
    Ranked,
    Standing,
    candidate_from_row,
    damaged,
    pack_digest,
)
from lossearch.archive.robustness import robust_mean
from lossearch.archive.schema import storage_errors
from lossearch.reading import LARGEST_WHOLE

Row = TypeVar("Row")

_SCORE = "SELECT s.structure_id, s.budget, s.seeds, s.failed, s.merit, s.complexity FROM {scores} s"
_SCORE_KINDS: Kinds = (WHOLE, WHOLE, WHOLE, WHOLE, MAYBE_REAL, MAYBE_WHOLE)
_COURSE_KINDS: Kinds = (WHOLE, WHOLE, TEXT, WHOLE, MAYBE_REAL, TEXT)
_USABLE = "s.task = ? AND s.accepted = 1 AND s.failed = 0"
_FAILURES = f"""
SELECT c.reason, count(DISTINCT c.structure_id) FROM score s JOIN candidate c ON c.structure_id = s.structure_id
WHERE s.accepted = 1 AND s.failed > 0 AND c.verdict = '{ACCEPTED}' GROUP BY c.reason ORDER BY min(c.id)
"""
_AT_ITS_LARGEST_BUDGET = (
    "NOT EXISTS (SELECT 1 FROM score h"
    " WHERE h.structure_id = s.structure_id AND h.task = s.task AND h.budget > s.budget)"
)
_ALL_TASKS = "*"
_JOIN_TASKS = f"""
CREATE TEMP TABLE joint AS
SELECT s.structure_id, '{_ALL_TASKS}' AS task, max(s.budget) AS budget, min(s.seeds) AS seeds,
    sum(s.failed) AS failed, CASE WHEN sum(s.failed) = 0 THEN avg(s.merit) END AS merit,
    s.complexity, s.accepted
FROM score s WHERE {{cells}} GROUP BY s.structure_id HAVING count(*) = {{tasks}}
"""


class _Scope(NamedTuple):
    """Which scores are ranked: those of `task` in `table` for which the SQL condition `counted` holds.

    best_budget is the largest budget with a finite score among them; only scores at one budget are comparable.
    """

    table: str
    task: str
    counted: str
    best_budget: int | None


class ArchiveReader(ArchiveRaces):
    """Read access to an archive. All methods are safe to call while another process writes.

    Where a method ranks, a structure's score is the mean metric over the seeds of one task (moved towards the worst of
    them by the share `robustness`) at the largest budget at which any accepted candidate has a finite score (`budget`
    chooses another one). With several tasks in the archive, `task=None` means the mean over all tasks, for the
    structures measured on every one of them. Only accepted candidates are ranked; ties go to lower complexity, then to
    the structure that came first.

    Where a final race has ended, the candidates that it trained come first, as it ranks them (see `standings`) and with
    its scores, then all others. With `raced=False`, or at a chosen budget, the search's own scores alone count.
    """

    def tasks(self) -> list[str]:
        """Names of the tasks on which an accepted candidate has a score."""
        names: list[str] = []
        sql = "SELECT min(task) FROM score WHERE accepted = 1 AND failed = 0 AND task > ?"
        while (name := self._select(sql, (names[-1] if names else "",), (MAYBE_TEXT,))[0][0]) is not None:
            if names and name <= names[-1]:
                raise damaged(f"names of tasks out of order in {self.path}")
            names.append(name)
        return names

    def ranked(
        self,
        n: int,
        *,
        task: str | None = None,
        budget: int | None = None,
        min_seeds: int = 1,
        raced: bool = True,
    ) -> list[Ranked]:
        """The best `n` candidates, best first.

        Those that stopped at smaller budgets follow those measured at the largest one, and those of which an
        evaluation failed or gave NaN come last. `min_seeds` leaves out what fewer seeds measured: a lucky
        single seed should not outrank a mean over ten.
        """
        with self._lock:
            scope = self._scope(task, budget)
            of_race = self._of_race(scope, budget, min_seeds, raced)
            broken = [row for row in of_race.values() if row.metric is None]
            select = (
                f"{_SCORE.format(scores=scope.table)}"
                f" WHERE s.task = ? AND s.accepted = 1 AND s.seeds >= ? AND {scope.counted}{_except(of_race)}"
            )
            best = "s.failed = 0 ORDER BY s.budget DESC, s.merit DESC, s.complexity, s.structure_id"
            worst = "s.failed > 0 ORDER BY s.budget DESC, s.failed, s.complexity, s.structure_id"
            rows = [row for row in of_race.values() if row.metric is not None]
            for part, after in ((best, broken), (worst, [])):
                left = (scope.task, min_seeds, max(0, min(n, LARGEST_WHOLE) - len(rows)))
                rows += map(self._ranked, self._select(f"{select} AND {part} LIMIT ?", left, _SCORE_KINDS))
                rows += after
            return rows[: max(n, 0)]

    def hall_of_fame(
        self,
        limit: int | None = None,
        *,
        task: str | None = None,
        budget: int | None = None,
        min_seeds: int = 1,
        raced: bool = True,
    ) -> list[Ranked]:
        """The best candidate of each complexity, in order of complexity; of these, the `limit` best."""
        with self._lock:
            scope = self._scope(task, budget)
            of_race = self._of_race(scope, budget, min_seeds, raced)
            others = sorted(self._best_per_complexity(scope, min_seeds, of_race), key=lambda row: (-row[4], row[5]))
            best: dict[int | None, Ranked] = {}
            for row in (*(row for row in of_race.values() if row.metric is not None), *map(self._ranked, others)):
                best.setdefault(row.candidate.complexity, row)
            return sorted(list(best.values())[:limit], key=lambda row: row.candidate.complexity or 0)

    def pareto_front(
        self, *, task: str | None = None, budget: int | None = None, min_seeds: int = 1, raced: bool = True
    ) -> list[Ranked]:
        """The candidates that no other one equals at lower, or beats at equal, complexity; in its order.

        After a final race these are of the candidates that were trained on all of its seeds.
        """
        with self._lock:
            scope = self._scope(task, budget)
            of_race = self._of_race(scope, budget, min_seeds, raced)
            seeds = max((row.seeds for row in of_race.values() if row.metric is not None), default=0)
            if not seeds:
                scores = [(row, row[4]) for row in self._best_per_complexity(scope, min_seeds, of_race)]
                return [self._ranked(row) for row in _undominated(scores)]
            full = [(row, row.metric) for row in of_race.values() if row.metric is not None and row.seeds == seeds]
            merits = [(row, self._sign * metric) for row, metric in full]
            return _undominated(sorted(merits, key=lambda one: (one[0].candidate.complexity, -one[1])))

    def stopped(self) -> int:
        """How many candidates were trained at less than the largest budget alone, as they were stopped early."""
        with self._lock:
            scopes = [self._scope(task, None) for task in self.tasks()]
            sql = f"SELECT count(*) FROM score s WHERE {_USABLE} AND {_AT_ITS_LARGEST_BUDGET} AND s.budget < ?"
            return sum(int(self._select(sql, (one.task, one.best_budget), (WHOLE,))[0][0]) for one in scopes)

    def stopped_early(self, ranked: Ranked) -> str | None:
        """In words, where a candidate was stopped; None for one that was trained to the end."""
        with self._lock:
            whole = self._scope(None, None).best_budget
        if ranked.standing is not None or ranked.failed or whole is None or ranked.budget >= whole:
            return None
        return f"stopped early, at a budget of {ranked.budget} of {whole}"

    def rank_in_search(self, key: str, *, task: str | None = None) -> int | None:
        """The rank of a candidate by the search's own scores, from 1; None where it has none at the largest budget."""
        with self._lock:
            scope = self._scope(task, None)
            usable = f"{_USABLE} AND s.budget = ?"
            sql = (
                f"SELECT s.merit, s.complexity, s.structure_id FROM {scope.table} s"
                f" JOIN structure x ON x.id = s.structure_id WHERE {usable} AND x.key = ?"
            )
            own = (scope.task, scope.best_budget, pack_digest(key))
            found = self._select(sql, own, (REAL, WHOLE, WHOLE))
            if not found:
                return None
            sql = (
                f"SELECT count(*) FROM {scope.table} s WHERE {usable}"
                " AND (s.merit > ? OR (s.merit = ? AND (s.complexity, s.structure_id) < (?, ?)))"
            )
            better = (scope.task, scope.best_budget, found[0][0], *found[0])
            return 1 + int(self._select(sql, better, (WHOLE,))[0][0])

    def _of_race(self, scope: _Scope, budget: int | None, min_seeds: int, raced: bool) -> dict[int, Ranked]:
        """What the final race ranks, best first, by the row of its structure."""
        if not raced or budget is not None:
            return {}
        return {
            id: self._in_race(id, standing)
            for id, standing in self._standings()
            if standing.task == scope.task and standing.seeds >= min_seeds
        }

    def _in_race(self, structure_id: int, standing: Standing) -> Ranked:
        metric, failed = standing.metric, standing.failed
        if (metric is None) != bool(failed) or abs(metric or 0.0) == math.inf:
            raise damaged(f"a standing of the race that is none in {self.path}")
        return Ranked(self._first(structure_id), metric, standing.seeds, failed, standing.budget, standing)

    def other_metrics(self, ranked: Ranked) -> dict[str, float]:
        """All metrics of a candidate but the ranking one: means over the trainings that its score is of.

        A metric that one of these did not give is left out.
        """
        key, standing = ranked.candidate.key, ranked.standing
        if standing is None:
            told = [one.metrics for one in self.evaluations(key) if one.budget == ranked.budget]
        else:
            cell = (key, standing.task, standing.budget)
            rows = [one for one in self.race_trainings() if (one.key, one.task, one.budget) == cell]
            told = [one.metrics for one in sorted(rows, key=lambda one: one.seed)[: standing.seeds]]
        names = [name for name in (told[0] if told else ()) if all(name in one for one in told)]
        return {name: sum(one[name] for one in told) / len(told) for name in names if name != self.metric}

    def why_failed(self, ranked: Ranked) -> str:
        """The stored reason why a candidate failed: that of its first failed training, of the race where that ranks."""
        standing = ranked.standing
        if standing is None:
            return ranked.candidate.reason
        cell = (ranked.candidate.key, standing.task, standing.budget)
        rows = [one for one in self.race_trainings() if (one.key, one.task, one.budget) == cell]
        return next((one.message for one in sorted(rows, key=lambda one: one.seed) if one.metric is None), "")

    def failures(self) -> list[Failure]:
        """Why accepted candidates failed in training, and how many for each reason, the most common first."""
        return summed(self._select(_FAILURES, (), (TEXT, WHOLE)))

    def _best_per_complexity(self, scope: _Scope, min_seeds: int, without: Iterable[int] = ()) -> list[tuple[Any, ...]]:
        sql = (
            f"{_SCORE.format(scores=scope.table)} WHERE {_USABLE} AND {scope.counted}{_except(without)}"
            " AND s.budget = ? AND s.seeds >= ? AND s.complexity > ?"
            " ORDER BY s.complexity, s.merit DESC, s.structure_id LIMIT 1"
        )
        best: list[tuple[Any, ...]] = []
        # One step in the index per complexity, however many candidates share it.
        reached = -1
        while row := self._select(sql, (scope.task, scope.best_budget, min_seeds, reached), _SCORE_KINDS):
            best += row
            *_, merit, complexity = row[0]
            if merit is None or complexity <= reached:
                raise damaged(f"scores out of order in {self.path}")
            reached = complexity
        return best

    def _scope(self, task: str | None, budget: int | None) -> _Scope:
        tasks = self.tasks() if task is None else [task]
        if len(tasks) > 1:
            return self._joint_scope(tasks, budget)
        if not tasks:
            # Where all evaluations failed there is no usable score, yet ranked() still lists the candidates.
            tasks = [name for (name,) in self._select("SELECT task FROM score LIMIT 1", (), (TEXT,))] or [""]
        counted = _AT_ITS_LARGEST_BUDGET if budget is None else f"s.budget = {int(budget)}"
        sql = f"SELECT s.budget FROM score s WHERE {_USABLE} AND {counted} ORDER BY s.budget DESC LIMIT 1"
        found = self._select(sql, (tasks[0],), (WHOLE,))
        return _Scope("score", tasks[0], counted, found[0][0] if found else None)

    def _joint_scope(self, tasks: list[str], budget: int | None) -> _Scope:
        """Mean over tasks, at `budget` or else at the best budget of each, of the structures that have all."""
        scopes = [self._scope(task, budget) for task in tasks]
        cells = " OR ".join(f"(s.task = ? AND s.budget = ? AND {scope.counted})" for scope in scopes)
        parameters = [value for scope in scopes for value in (scope.task, scope.best_budget)]
        with storage_errors(self.path):
            self._connection.execute("DROP TABLE IF EXISTS temp.joint")
            self._connection.execute(_JOIN_TASKS.format(cells=cells, tasks=len(tasks)), parameters)
            self._connection.execute("CREATE INDEX temp.joint_complexity ON joint (complexity, merit DESC)")
        found = self._select("SELECT budget FROM joint LIMIT 1", (), (WHOLE,))
        return _Scope("joint", _ALL_TASKS, "1", found[0][0] if found else None)

    def _ranked(self, row: tuple[Any, ...]) -> Ranked:
        structure_id, budget, seeds, failed, merit, _ = row
        candidate = self._first(structure_id)
        if (merit is None) != bool(failed) or abs(merit or 0.0) == math.inf:
            raise damaged(f"a score of nothing that was trained in {self.path}")
        return Ranked(candidate, None if failed else self._sign * merit, seeds, failed, budget)

    def _first(self, structure_id: int) -> Candidate:
        """The first accepted candidate of a structure."""
        sql = f"{self._select_candidates} WHERE c.structure_id = ? AND c.verdict = '{ACCEPTED}' ORDER BY c.id LIMIT 1"
        found = self._select(sql, (structure_id,), CANDIDATE_KINDS)
        if not found:
            raise damaged(f"a score of nothing that was trained in {self.path}")
        return candidate_from_row(found[0])

    def best_so_far(self, *, task: str | None = None, budget: int | None = None) -> list[tuple[int, float]]:
        """Each change of the best score, as (number of evaluations archived by then, best score).

        Scores are means over seeds as in `ranked` without the final race, so that the curve ends at the score of the
        candidate ranked first there; it steps back where later seeds reveal that the best one was lucky. Seeds that
        were archived together count together: the first of eight says little.
        """
        with self._lock:
            tasks = [task] if task else self.tasks()
            budgets = {name: self._scope(name, budget).best_budget for name in tasks}
        course = _Course(budgets, self._sign, longer_disqualifies=budget is None, robustness=self.robustness)
        select = (
            "SELECT e.id, e.structure_id, e.task, e.budget, e.metric, e.status"
            " FROM evaluation e JOIN structure x ON x.id = e.structure_id"
        )
        rows = self._pages(select, "e.id", "x.accepted = 1", (), _COURSE_KINDS)
        for _, together in groupby(rows, key=lambda row: row[1:4]):  # structure, task and budget
            evaluations = list(together)
            for _, *evaluation in evaluations:
                course.add(*evaluation)
            course.note(evaluations[-1][0])
        return course.changes


def _undominated(rows: Iterable[tuple[Row, float]]) -> list[Row]:
    """Of rows with their merit, in order of complexity, those of higher merit than all before them."""
    front: list[tuple[Row, float]] = []
    for row, merit in rows:
        if not front or merit > front[-1][1]:
            front.append((row, merit))
    return [row for row, _ in front]


def _except(structures: Iterable[int]) -> str:
    """A condition that leaves rows of structures out."""
    ids = ", ".join(map(str, structures))
    return f" AND s.structure_id NOT IN ({ids})" if ids else ""


class _Course:
    """The best mean score after each evaluation. A heap with stale entries keeps every step logarithmic."""

    def __init__(self, budgets: dict[str, int | None], sign: int, longer_disqualifies: bool, robustness: float) -> None:
        self.changes: list[tuple[int, float]] = []
        self._budgets = budgets
        self._sign = sign
        self._longer_disqualifies, self._robustness = longer_disqualifies, robustness
        self._metrics: dict[int, dict[str, list[float | None]]] = {}
        self._merit: dict[int, float | None] = {}
        self._heap: list[tuple[float, int]] = []

    def add(self, structure: int, task: str, budget: int, metric: float | None, status: str) -> None:
        """Take an evaluation into account."""
        wanted = self._budgets.get(task)
        # Beyond the largest budget with a finite score there are only failures.
        longer = self._longer_disqualifies and wanted is not None and budget > wanted
        if budget != wanted and not longer:
            return
        usable = not longer and status == OK and metric is not None and abs(metric) != float("inf")
        self._metrics.setdefault(structure, {}).setdefault(task, []).append(metric if usable else None)
        merit = self._merit[structure] = self._score(self._metrics[structure])
        if merit is not None:
            heapq.heappush(self._heap, (-merit, structure))

    def note(self, number: int) -> None:
        """Record the best after this many evaluations, if it is another one."""
        while self._heap and self._merit[self._heap[0][1]] != -self._heap[0][0]:
            heapq.heappop(self._heap)
        best = -self._sign * self._heap[0][0] if self._heap else None
        if best is not None and (not self.changes or self.changes[-1][1] != best):
            self.changes.append((number, best))

    def _score(self, by_task: dict[str, list[float | None]]) -> float | None:
        if len(by_task) < len(self._budgets):
            return None
        scores: list[float] = []
        for metrics in by_task.values():
            merits = [self._sign * metric for metric in metrics if metric is not None]
            if len(merits) < len(metrics):
                return None
            scores.append(robust_mean(merits, self._robustness))
        return sum(scores) / len(scores)
