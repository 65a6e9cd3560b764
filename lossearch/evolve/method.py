"""Search methods behind one ask/tell interface, with states that resume exactly."""

from __future__ import annotations

import bisect
import random
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any, ClassVar

from pydantic import BaseModel, ConfigDict

from lossearch.errors import UserError
from lossearch.evolve.grammar import Grammar
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.graph import Graph
from lossearch.ir.forms.json import graph_from_dict, graph_to_dict
from lossearch.search_spaces.space import SearchSpace
from lossearch.zoo.named import graph_of

KEPT = 32
"""How many of the best a method remembers for migration."""

MOST_TRIES = 10_000
"""Random expressions without one of prediction and target after which a space counts as having none with both."""


@dataclass(frozen=True)
class Candidate:
    """A proposal. `operator` says how it was made, `parents` gives the keys it was made from."""

    graph: Graph
    operator: str
    parents: tuple[str, ...] = ()


@dataclass(frozen=True)
class Individual:
    """A graph with its score (higher is better) and complexity."""

    graph: Graph
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

    def __init__(self, space: SearchSpace, seed: int, settings: BaseModel) -> None:
        self.grammar = Grammar(space)
        self.rng = random.Random(seed)
        self.best: list[Individual] = []
        self._seeds = deque(space.seeds)

    def ask(self) -> Candidate:
        """The next proposal: the space's seeds first."""
        if self._seeds:
            name = self._seeds.popleft()
            return Candidate(graph_of(name), f"seed:{self.grammar.space.label(name)}")
        return self.propose()

    @abstractmethod
    def propose(self) -> Candidate:
        """A proposal after the seeds."""

    def tell(self, candidate: Candidate, score: float | None, complexity: int) -> None:
        """Learn a score; None for a candidate that was rejected or failed."""
        if score is not None:
            self.remember(Individual(candidate.graph, score, complexity))

    def inject(self, graph: Graph, score: float) -> None:
        """Take in a migrant."""
        self.remember(Individual(graph, score, self.complexity(graph)))

    def remember(self, individual: Individual) -> None:
        """Keep the best few, for migration."""
        if len(self.best) == KEPT and self.best[-1].rank < individual.rank:
            return
        others = [i for i in self.best if i.graph.key != individual.graph.key]
        bisect.insort(others, individual, key=rank)
        self.best = others[:KEPT]

    def elites(self, count: int) -> list[tuple[Graph, float]]:
        """The best graphs so far with their scores."""
        return [(individual.graph, individual.score) for individual in self.best[:count]]

    def complexity(self, graph: Graph) -> int:
        """How complex a loss is in this space."""
        return self.grammar.space.complexity_of(graph)

    def random_graph(self) -> Graph:
        """A random expression in which both prediction and target occur."""
        space = self.grammar.space
        for _ in range(MOST_TRIES):
            size = self.rng.randint(1, space.max_initial_size)
            graph = self.to_graph(self.grammar.expression(space.root, size, self.rng))
            if graph is not None:
                return graph
        found = f"none among {MOST_TRIES} of space {space.name}"
        raise UserError("expressions with both prediction and target", found, "add a terminal that has both")

    def to_graph(self, root: Expr, weight: Expr | None = None) -> Graph | None:
        """The graph of an expression, unless prediction or target is missing from it or something excluded is in it.

        The weight of the mean over a parent's elements is inherited, as far as the child has these elements.
        """
        if not self.grammar.allows([root]):
            return None
        kept = weight is not None and set(weight.axes) <= set(root.axes)
        graph = Graph(self.grammar.signature, root, weight=weight if kept else None)
        needed = [i.name for i in self.grammar.signature.inputs if i.role != "buffer"]
        return graph if all(graph.uses(name) for name in needed) else None

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
        "graph": graph_to_dict(individual.graph),
        "score": individual.score,
        "complexity": individual.complexity,
    }


def load(row: dict[str, Any]) -> Individual:
    """From plain data."""
    return Individual(graph_from_dict(row["graph"]), row["score"], row["complexity"])
