"""NSGA-II over score and complexity (Deb et al. 2002)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from lossearch.evolve.dominance import crowding, fronts
from lossearch.evolve.method import Individual, Method, Proposal, dump, load
from lossearch.evolve.offspring import bred
from lossearch.ir.core.joint import AnyGraph
from lossearch.search_spaces.joint import AnySpace


class NSGA2Settings(BaseModel):
    """Settings of NSGA-II.

    Attributes:
        population: parents, and scored children after which both are ranked together and the better half stays.
        random_share: share of proposals that are drawn anew instead of being bred.
        crossover_share: share of bred proposals that have two parents.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    population: int = Field(default=24, ge=2)
    random_share: float = Field(default=0.1, ge=0.0, le=1.0)
    crossover_share: float = Field(default=0.3, ge=0.0, le=1.0)


class NSGA2(Method):
    """Elitist search for the whole front of score and complexity, after the seeds.

    Of two drawn at random that of the better front becomes a parent, within a front that with more room around it.
    While the first generation is not complete its own members are parents.
    """

    Settings = NSGA2Settings

    def __init__(self, space: AnySpace, seed: int, settings: NSGA2Settings) -> None:
        super().__init__(space, seed, settings)
        self.settings = settings
        self.parents: list[Individual] = []
        self.children: list[Individual] = []
        self._ranked: list[tuple[Individual, int, float]] = []  # parents with front and room

    def propose(self) -> Proposal:
        """A mutated or crossed parent; a random expression while there are none, and now and then."""
        if len(self._ranked) < 2 or self.rng.random() < self.settings.random_share:
            return Proposal(self.random_graph(), "random")
        return bred(self.breeder, self.rng, self._parent, self.settings.crossover_share)

    def _parent(self) -> Individual:
        first, second = self.rng.sample(self._ranked, 2)
        return min(first, second, key=lambda ranked: (ranked[1], -ranked[2]))[0]

    def tell(self, candidate: Proposal, score: float | None, complexity: int) -> None:
        """A scored candidate joins the children; a whole generation of them competes with the parents."""
        super().tell(candidate, score, complexity)
        if score is not None:
            self._join(Individual(candidate.graph, score, complexity))

    def inject(self, graph: AnyGraph, score: float) -> None:
        """A migrant joins the children."""
        super().inject(graph, score)
        self._join(Individual(graph, score, self.complexity(graph)))

    def _join(self, individual: Individual) -> None:
        self.children.append(individual)
        if len(self.children) >= self.settings.population:
            self.parents = survivors([*self.parents, *self.children], self.settings.population)
            self.children = []
        self._rank()

    def _rank(self) -> None:
        self._ranked = ranked(self.parents or self.children)

    def state(self) -> dict[str, Any]:
        """As `Method.state`, with parents and children."""
        parents, children = (list(map(dump, group)) for group in (self.parents, self.children))
        return {**super().state(), "parents": parents, "children": children}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken."""
        super().load_state(state)
        self.parents, self.children = (list(map(load, state[group])) for group in ("parents", "children"))
        self._rank()


def ranked(individuals: Sequence[Individual]) -> list[tuple[Individual, int, float]]:
    """Individuals with the number of their front, from 0, and the room around them in it; better ones first.

    Complexity is a whole number, so that many losses are equal in both. The newest of these stands for all: the others
    are a front of their own, behind the last, since copies would fill the population.
    """
    distinct = {(-one.score, float(one.complexity)): one for one in individuals}
    found: list[tuple[Individual, int, float]] = []
    points, chosen = list(distinct), list(distinct.values())
    levels = fronts(points)
    for number, front in enumerate(levels):
        rooms = crowding([points[i] for i in front])
        of_front = [(chosen[i], number, room) for i, room in zip(front, rooms, strict=True)]
        found += sorted(of_front, key=lambda one: -one[2])
    kept = set(map(id, chosen))
    copies = [one for one in reversed(individuals) if id(one) not in kept]
    return [*found, *((one, len(levels), 0.0) for one in copies)]


def survivors(individuals: Sequence[Individual], count: int) -> list[Individual]:
    """So many of the best fronts; of the last that does not fit those with the most room. Each loss counts once."""
    distinct = {one.graph.key: one for one in individuals}
    return [individual for individual, _, _ in ranked(list(distinct.values()))[:count]]
