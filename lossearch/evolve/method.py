"""Search methods behind one ask/tell interface, with states that resume exactly."""

from __future__ import annotations

import bisect
import random
from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from operator import attrgetter
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from lossearch.archive.seeds import seed_operator
from lossearch.evolve.breeding import breeder_for
from lossearch.ir.core.joint import AnyGraph
from lossearch.ir.forms.joint import any_from_dict, any_to_dict
from lossearch.search_spaces.joint import AnySpace, complexity_in
from lossearch.search_spaces.space import SearchSpace
from lossearch.tasks.base import Task

KEPT = 32
"""How many of the best a method remembers for migration."""


@dataclass(frozen=True)
class Proposal:
    """A proposal. `operator` says how it was made, `parents` gives the keys it was made from.

    A method may number its proposals: what it is told of has the number that it gave, while the graph is the one that
    was scored, which screening and training may have changed. `reason` says why a candidate that is told without a
    score was rejected or failed.
    """

    graph: AnyGraph
    operator: str
    parents: tuple[str, ...] = ()
    number: int | None = None
    reason: str = ""
    numbers: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True)
class Individual:
    """A graph with its score (higher is better) and complexity."""

    graph: AnyGraph
    score: float
    complexity: int

    @cached_property
    def rank(self) -> tuple[float, int, str]:
        """Sorts the best first, then the simplest."""
        return (-self.score, self.complexity, self.graph.key)


rank = attrgetter("rank")


class NoSettings(BaseModel):
    """Settings of a method that has none."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Method(ABC):
    """Proposes candidates and learns their scores. All randomness comes from one generator.

    `Settings` is the model of a method's own settings, as a configuration's table `[method]` gives them.
    """

    Settings: ClassVar[type[BaseModel]] = NoSettings

    def __init__(self, space: AnySpace, seed: int, settings: BaseModel) -> None:
        self.space = space
        self.breeder = breeder_for(space)
        self.rng = random.Random(seed)
        self.best: list[Individual] = []
        self._seeds = deque(space.seeds)

    @classmethod
    def space_for(cls, space: SearchSpace, settings: BaseModel) -> SearchSpace:
        """The space that screens its proposals; most methods leave it as it is."""
        return space

    def use(self, task: Task, reference: AnyGraph, device: str) -> None:  # noqa: B027 - most need nothing of it
        """Take the task of the search, before anything is asked; most methods have no use for it.

        Args:
            task: on which losses are scored.
            reference: the loss at whose step size they are.
            device: where they are trained.
        """

    def ask(self) -> Proposal:
        """The next proposal: the space's seeds first."""
        if self._seeds:
            name = self._seeds.popleft()
            return Proposal(self.space.seed_graph(name), seed_operator(self.space.label(name)))
        return self.propose()

    @abstractmethod
    def propose(self) -> Proposal:
        """A proposal after the seeds."""

    def tell(self, candidate: Proposal, score: float | None, complexity: int) -> None:
        """Learn a score; None for a candidate that was rejected or failed."""
        if score is not None:
            self.remember(Individual(candidate.graph, score, complexity))

    def inject(self, graph: AnyGraph, score: float) -> None:
        """Take in a migrant."""
        self.remember(Individual(graph, score, self.complexity(graph)))

    def remember(self, individual: Individual) -> None:
        """Keep the best few, for migration."""
        if len(self.best) == KEPT and self.best[-1].rank < individual.rank:
            return
        others = [i for i in self.best if i.graph.key != individual.graph.key]
        bisect.insort(others, individual, key=rank)
        self.best = others[:KEPT]

    def elites(self, count: int) -> list[tuple[AnyGraph, float]]:
        """The best graphs so far with their scores."""
        return [(individual.graph, individual.score) for individual in self.best[:count]]

    def complexity(self, graph: AnyGraph) -> int:
        """How complex a loss is in this space."""
        return complexity_in(self.space, graph)

    def random_graph(self) -> Any:
        """A random candidate of the space."""
        return self.breeder.random(self.rng)

    def state(self) -> dict[str, Any]:
        """Everything that the future depends on, as plain data."""
        version, internal, gauss = self.rng.getstate()
        return {
            "rng": [version, list(internal), gauss],
            "seeds": list(self._seeds),
            "best": [dump(individual) for individual in self.best],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken."""
        version, internal, gauss = state["rng"]
        self.rng.setstate((version, tuple(internal), gauss))
        self._seeds = deque(state["seeds"])
        self.best = [load(row) for row in state["best"]]


def dump(individual: Individual) -> dict[str, Any]:
    """As plain data, for a state."""
    return {
        "graph": any_to_dict(individual.graph),
        "score": individual.score,
        "complexity": individual.complexity,
    }


def load(row: dict[str, Any]) -> Individual:
    """From plain data."""
    return Individual(any_from_dict(row["graph"]), row["score"], row["complexity"])
