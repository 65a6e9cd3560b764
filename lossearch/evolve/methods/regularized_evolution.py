"""Regularised evolution (Real et al. 2019)."""

from __future__ import annotations

from collections import deque
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from lossearch.evolve.method import Individual, Method, Proposal, dump, load, rank
from lossearch.evolve.offspring import bred
from lossearch.ir.core.joint import AnyGraph
from lossearch.search_spaces.joint import AnySpace


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

    Settings = EvolutionSettings

    def __init__(self, space: AnySpace, seed: int, settings: EvolutionSettings) -> None:
        super().__init__(space, seed, settings)
        self.settings = settings
        self.population: deque[Individual] = deque(maxlen=settings.population)

    def propose(self) -> Proposal:
        """A mutated or crossed parent; a random expression while the population is small, and now and then."""
        if len(self.population) < 2 or self.rng.random() < self.settings.random_share:
            return Proposal(self.random_graph(), "random")
        return bred(self.breeder, self.rng, self._parent, self.settings.crossover_share)

    def _parent(self) -> Individual:
        contestants = self.rng.sample(self.population, min(self.settings.tournament, len(self.population)))
        ranked = sorted(contestants, key=rank)
        if len(ranked) > 1 and self.rng.random() < self.settings.parsimony:
            return min(ranked[:2], key=lambda i: i.complexity)
        return ranked[0]

    def tell(self, candidate: Proposal, score: float | None, complexity: int) -> None:
        """A scored candidate joins the population; the oldest leaves it."""
        super().tell(candidate, score, complexity)
        if score is not None:
            self.population.append(Individual(candidate.graph, score, complexity))

    def inject(self, graph: AnyGraph, score: float) -> None:
        """A migrant joins as the youngest."""
        super().inject(graph, score)
        self.population.append(Individual(graph, score, self.complexity(graph)))

    def state(self) -> dict[str, Any]:
        """As `Method.state`, with the population in order of age."""
        return {**super().state(), "population": [dump(individual) for individual in self.population]}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken."""
        super().load_state(state)
        self.population = deque(map(load, state["population"]), maxlen=self.settings.population)
