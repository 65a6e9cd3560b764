"""Search methods behind one ask/tell interface, with states that resume exactly."""

from __future__ import annotations

import bisect
import random
from abc import ABC, abstractmethod
from collections import deque
from dataclasses import dataclass
from functools import cached_property
from operator import attrgetter
from typing import Any

from pydantic import BaseModel, ConfigDict, Field, ValidationError

from lossearch.errors import UserError
from lossearch.evolve.grammar import Grammar
from lossearch.evolve.variation import crossover, mutate
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


_rank = attrgetter("rank")


class Method(ABC):
    """Proposes candidates and learns their scores. All randomness comes from one generator."""

    def __init__(self, space: SearchSpace, seed: int) -> None:
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
        bisect.insort(others, individual, key=_rank)
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
            "best": [_dump(individual) for individual in self.best],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken."""
        version, internal, gauss = state["rng"]
        self.rng.setstate((version, tuple(internal), gauss))
        self._seeds = deque(state["seeds"])
        self.best = [_load(row) for row in state["best"]]


class RandomSearch(Method):
    """Independent random expressions after the seeds."""

    def propose(self) -> Candidate:
        """A random expression."""
        return Candidate(self.random_graph(), "random")


class EvolutionSettings(BaseModel):
    """Settings of regularised evolution.

    Attributes:
        population: candidates kept; the oldest dies when a new one comes.
        tournament: candidates drawn at random, of which the best becomes a parent.
        random_share: share of proposals that are drawn anew instead of being bred.
        crossover_share: share of bred proposals that have two parents.
        parsimony: chance that the simpler of the two best contestants becomes the parent.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    population: int = Field(default=40, ge=2)
    tournament: int = Field(default=8, ge=2)
    random_share: float = Field(default=0.1, ge=0.0, le=1.0)
    crossover_share: float = Field(default=0.3, ge=0.0, le=1.0)
    parsimony: float = Field(default=0.3, ge=0.0, le=1.0)


class RegularizedEvolution(Method):
    """Ageing evolution: a tournament picks the parent, the oldest dies. Real et al. 2019.

    A second tournament on complexity keeps expressions small (Luke and Panait 2002): with probability `parsimony`
    the simpler of the two best contestants becomes the parent.
    """

    def __init__(self, space: SearchSpace, seed: int, settings: EvolutionSettings) -> None:
        super().__init__(space, seed)
        self.settings = settings
        self.population: deque[Individual] = deque(maxlen=settings.population)

    def propose(self) -> Candidate:
        """A mutated or crossed parent; a random expression while the population is small, and now and then."""
        if len(self.population) < 2 or self.rng.random() < self.settings.random_share:
            return Candidate(self.random_graph(), "random")
        while True:
            parent = self._parent()
            keys: tuple[str, ...] = (parent.graph.key,)
            if self.rng.random() < self.settings.crossover_share:
                other = self._parent()
                root, name = crossover(parent.graph.root, other.graph.root, self.grammar, self.rng), "crossover"
                keys = (parent.graph.key, other.graph.key)
            else:
                root, mutation = mutate(parent.graph.root, self.grammar, self.rng)
                name = f"mutation:{mutation}"
            graph = self.to_graph(root, parent.graph.weight) if root is not None else None
            if graph is not None:
                return Candidate(graph, name, keys)

    def _parent(self) -> Individual:
        contestants = self.rng.sample(self.population, min(self.settings.tournament, len(self.population)))
        ranked = sorted(contestants, key=_rank)
        if len(ranked) > 1 and self.rng.random() < self.settings.parsimony:
            return min(ranked[:2], key=lambda i: i.complexity)
        return ranked[0]

    def tell(self, candidate: Candidate, score: float | None, complexity: int) -> None:
        """A scored candidate joins the population; the oldest leaves it."""
        super().tell(candidate, score, complexity)
        if score is not None:
            self.population.append(Individual(candidate.graph, score, complexity))

    def inject(self, graph: Graph, score: float) -> None:
        """A migrant joins as the youngest."""
        super().inject(graph, score)
        self.population.append(Individual(graph, score, self.complexity(graph)))

    def state(self) -> dict[str, Any]:
        """As `Method.state`, with the population in order of age."""
        return {**super().state(), "population": [_dump(individual) for individual in self.population]}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken."""
        super().load_state(state)
        self.population = deque(map(_load, state["population"]), maxlen=self.settings.population)


METHODS = ("regularized_evolution", "random")


def make_method(name: str, space: SearchSpace, seed: int, **settings: Any) -> Method:
    """A search method by name; raises `UserError` for an unknown name or setting."""
    if name == "random" and not settings:
        return RandomSearch(space, seed)
    if name not in METHODS or name == "random":
        found = f"{name!r} with settings {settings}" if name == "random" else repr(name)
        raise UserError(f"a method among {', '.join(METHODS)} with its own settings", found, "correct method.name")
    try:
        return RegularizedEvolution(space, seed, EvolutionSettings(**settings))
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"]))
        raise UserError(f"method.{place}: {first['msg']}", repr(first["input"])[:80], "correct the setting") from None


def _dump(individual: Individual) -> dict[str, Any]:
    return {
        "graph": graph_to_dict(individual.graph),
        "score": individual.score,
        "complexity": individual.complexity,
    }


def _load(row: dict[str, Any]) -> Individual:
    return Individual(graph_from_dict(row["graph"]), row["score"], row["complexity"])
