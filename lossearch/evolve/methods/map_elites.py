"""MAP-Elites over complexity and the family of primitives (Mouret and Clune 2015)."""

from __future__ import annotations

from collections import Counter
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from lossearch.evolve.method import Individual, Method, Proposal, dump, load
from lossearch.evolve.offspring import bred
from lossearch.ir.core.joint import AnyGraph, by_slot
from lossearch.ir.core.operator import OPERATORS
from lossearch.search_spaces.joint import AnySpace

ELEMENTARY = "elementary"
"""The family of a loss without primitives."""


class MapElitesSettings(BaseModel):
    """Settings of MAP-Elites.

    Attributes:
        bin: how many steps of complexity share a cell.
        random_share: share of proposals that are drawn anew instead of being bred.
        crossover_share: share of bred proposals that have two parents.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    bin: int = Field(default=4, ge=1)
    random_share: float = Field(default=0.1, ge=0.0, le=1.0)
    crossover_share: float = Field(default=0.3, ge=0.0, le=1.0)


class MapElites(Method):
    """Keeps the best of every kind, after the seeds: each cell of complexity and family has one elite.

    Parents are drawn from all cells alike, so that kinds which are not best yet are bred, too.
    """

    Settings = MapElitesSettings

    def __init__(self, space: AnySpace, seed: int, settings: MapElitesSettings) -> None:
        super().__init__(space, seed, settings)
        self.settings = settings
        self.archive: dict[str, Individual] = {}

    def propose(self) -> Proposal:
        """A mutated or crossed elite; a random expression while there are fewer than two, and now and then."""
        if len(self.archive) < 2 or self.rng.random() < self.settings.random_share:
            return Proposal(self.random_graph(), "random")
        return bred(self.breeder, self.rng, self._parent, self.settings.crossover_share)

    def _parent(self) -> Individual:
        return self.rng.choice(list(self.archive.values()))

    def tell(self, candidate: Proposal, score: float | None, complexity: int) -> None:
        """A scored candidate takes its cell, if it is better than what is there."""
        super().tell(candidate, score, complexity)
        if score is not None:
            self._place(Individual(candidate.graph, score, complexity))

    def inject(self, graph: AnyGraph, score: float) -> None:
        """A migrant takes its cell, if it is better than what is there."""
        super().inject(graph, score)
        self._place(Individual(graph, score, self.complexity(graph)))

    def _place(self, individual: Individual) -> None:
        cell = f"{family(individual.graph)} {individual.complexity // self.settings.bin}"
        elite = self.archive.get(cell)
        if elite is None or (-individual.score, individual.complexity) < (-elite.score, elite.complexity):
            self.archive[cell] = individual

    def state(self) -> dict[str, Any]:
        """As `Method.state`, with the elite of each cell."""
        return {**super().state(), "archive": {cell: dump(elite) for cell, elite in self.archive.items()}}

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken."""
        super().load_state(state)
        self.archive = {cell: load(row) for cell, row in state["archive"].items()}


def family(graph: AnyGraph) -> str:
    """The family that most primitives of a loss are of, those of all slots together; of several the first by name."""
    nodes = {node for one in by_slot(graph, "").values() for node in one.nodes}
    counts = Counter(name for node in nodes if (name := OPERATORS[node.op].family))
    return min(counts, key=lambda name: (-counts[name], name), default=ELEMENTARY)
