"""Trainings of an island's candidates as Ray tasks: where the cluster has room, several at once."""

from __future__ import annotations

import dataclasses
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import ray

from lossearch.candidates.scoring import CandidateResult
from lossearch.candidates.stopping import Stops
from lossearch.engine.island.attempt import evaluated
from lossearch.engine.island.rows import failure
from lossearch.engine.island.watchdog import Watchdog
from lossearch.engine.remote.equipment import Equipment, equip, visible_gpus
from lossearch.engine.remote.repeating import RepeatedTasks
from lossearch.engine.setup.config import ResourcesConfig
from lossearch.engine.setup.parts import Parts, build_parts
from lossearch.ir.core.joint import AnyGraph
from lossearch.ir.forms.joint import any_from_json, any_to_json
from lossearch.tasks.user.first_calls import FirstCalls


@dataclass(frozen=True)
class _Answer:
    """A `CandidateResult` that travels: its graph is in JSON form, `values` are its other fields by name."""

    graph: str
    values: dict[str, Any]

    @classmethod
    def of(cls, result: CandidateResult) -> _Answer:
        """The answer that carries a result."""
        names = [field.name for field in dataclasses.fields(result) if field.name != "graph"]
        return cls(any_to_json(result.graph), {name: getattr(result, name) for name in names})

    def result(self, asked: AnyGraph) -> CandidateResult:
        """The result, with the very graph that was asked for where training left it as it was."""
        unchanged = self.graph == any_to_json(asked)
        return CandidateResult(graph=asked if unchanged else any_from_json(self.graph), **self.values)


class Trainings:
    """Trainings elsewhere, under way while the island proposes; what it learns does not depend on which ends first.

    Args:
        equipment: of the processes that train.
        resources: of each training.
        at_once: most of them at once; None leaves that to Ray.
        once: whether each has a process of its own.
    """

    def __init__(
        self, equipment: Equipment, resources: ResourcesConfig, at_once: int | None = None, once: bool = False
    ) -> None:
        self._equipment = ray.put(equipment.with_threads(resources.cpu))
        self._tasks: RepeatedTasks[int] = RepeatedTasks(train_candidate, resources, at_once, once)
        self._graphs: dict[int, AnyGraph] = {}
        self._results: dict[int, CandidateResult] = {}

    def begin(self, number: int, graph: AnyGraph, seed: int, stops: Stops) -> None:
        """Have a candidate trained; its number tells it from the others."""
        self._graphs[number] = graph
        self._tasks.submit(number, self._equipment, any_to_json(graph), seed, stops)

    def result(self, number: int) -> CandidateResult:
        """Wait for a candidate's training.

        Raises:
            UserError: a training found something that the user must mend.
        """
        while number not in self._results:
            for ended in self._tasks.wait():
                graph = self._graphs.pop(ended.key)
                if ended.given_up:
                    self._results[ended.key] = failure(graph, ended.given_up)
                else:
                    self._results[ended.key] = ended.result.result(graph)
        return self._results.pop(number)


def train_candidate(equipment: Equipment, graph: str, seed: int, stops: Stops) -> _Answer:
    """Train one candidate in this process; the parts that this takes are built once for each search."""
    parts = _parts(equipment, visible_gpus())
    return _Answer.of(evaluated(parts.evaluator, any_from_json(graph), seed, stops, Watchdog(parts.hang_limit)))


@lru_cache(maxsize=1)
def _parts(equipment: Equipment, gpus: str) -> Parts:
    """With other GPUs, those of a function have another process that calls it."""
    call = None if equipment.first_call is None else FirstCalls.loads(equipment.first_call)
    return build_parts(equip(equipment), call)
