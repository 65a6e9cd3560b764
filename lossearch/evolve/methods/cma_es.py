"""CMA-ES over the numbers of one structure (Hansen 2016)."""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from pydantic import BaseModel, ConfigDict, Field

from lossearch.errors import UserError
from lossearch.evolve.cma import CMA, default_population
from lossearch.evolve.coordinates import Coordinates, with_numbers
from lossearch.evolve.method import Method, Proposal
from lossearch.ir.core.graph import Graph
from lossearch.search_spaces.joint import AnySpace, JointSpace
from lossearch.search_spaces.seeds import is_file
from lossearch.search_spaces.space import SearchSpace
from lossearch.zoo.named import is_text_form

_MOST_DRAWS = 100  # within the bounds and well typed, before a point is held at the bounds


class CMASettings(BaseModel):
    """Settings of CMA-ES. It learns most from scores of what it proposed: set `evaluation.variants = 1`.

    Attributes:
        structure: the loss whose numbers are searched, a hand-designed one ("taylor") or a text form ("dense: …");
            without it the first seed that has numbers.
        sigma: first standard deviation: of parameters in widths of the range to search, of constants in powers of ten.
        population: points told before the distribution changes; without it 4 + ⌊3 ln n⌋ for n numbers.
    """

    model_config = ConfigDict(frozen=True, extra="forbid", allow_inf_nan=False)

    structure: str | None = None
    sigma: float = Field(default=0.2, gt=0.0, le=10.0)
    population: int | None = Field(default=None, ge=2)


@dataclass
class _Point:
    """A proposal. `group` counts the distributions' changes when it was proposed."""

    number: int
    group: int
    at: list[float]
    score: float | None = None


class CMAES(Method):
    """Covariance matrix adaptation, after the seeds, over the parameters and constants of one loss of one slot.

    Points drawn from one distribution are a group. It is complete once `population` of them were told, and nobody waits
    for others of it; then the distribution changes. So it makes no difference in which order points are told, and
    where many are proposed before any is told, all of them count. What was rejected or failed ranks last in its group.
    A loss whose constants its training changed counts for the point that was proposed. Migrants are remembered only.
    """

    Settings = CMASettings

    def __init__(self, space: AnySpace, seed: int, settings: CMASettings) -> None:
        super().__init__(space, seed, settings)
        self.coordinates = _coordinates(space, settings.structure)
        self.size = settings.population or max(default_population(len(self.coordinates)), 2)
        self.cma = CMA(self.coordinates.start, settings.sigma)
        self._proposed = 0
        self._group = 0  # that proposals join
        self._learned = 0  # groups that the distribution has learned from
        self._waiting: dict[int, _Point] = {}
        self._told: list[_Point] = []

    def propose(self) -> Proposal:
        """A point of the distribution."""
        at, graph = self._draw()
        number, self._proposed = self._proposed, self._proposed + 1
        self._waiting[number] = _Point(number, self._group, at)
        return Proposal(graph, "cma_es", number=number)

    def _draw(self) -> tuple[list[float], Graph]:
        """A point within the bounds with its loss; held at the bounds, or the first of all, where none is drawn."""
        drawn: list[float] = []
        for _ in range(_MOST_DRAWS):
            drawn = self.cma.sample(self.rng).tolist()
            if self.coordinates.inside(drawn) and (graph := self.coordinates.at(drawn)) is not None:
                return drawn, graph
        for at in (self.coordinates.held(drawn), self.coordinates.start):
            if (graph := self.coordinates.at(at)) is not None:
                return at, graph
        raise AssertionError("the structure itself is well typed")

    def tell(self, candidate: Proposal, score: float | None, complexity: int) -> None:
        """Learn a score; the distribution changes with the last of its group."""
        super().tell(candidate, score, complexity)
        point = None if candidate.number is None else self._waiting.pop(candidate.number, None)
        if point is None:  # a seed
            return
        point.score = score
        self._told.append(point)
        while len(group := [p for p in self._told if p.group == self._learned]) >= self.size:
            self._group = max(self._group, self._learned + 1)
            if any(p.group == self._learned for p in self._waiting.values()):
                return
            self._learn(group)

    def _learn(self, group: list[_Point]) -> None:
        scored = [p for p in group if p.score is not None]
        ranked = sorted(scored, key=lambda p: (-(p.score or 0.0), p.number))
        failed = sorted((p for p in group if p.score is None), key=lambda p: p.number)
        self.cma.update([p.at for p in (*ranked, *failed)], len(failed))
        self._told = [p for p in self._told if p.group != self._learned]
        self._learned += 1

    def state(self) -> dict[str, Any]:
        """As `Method.state`, with the distribution and the points that it has not learned from."""
        return {
            **super().state(),
            "cma": self.cma.state(),
            "counts": [self._proposed, self._group, self._learned],
            "waiting": [asdict(point) for point in self._waiting.values()],
            "told": [asdict(point) for point in self._told],
        }

    def load_state(self, state: dict[str, Any]) -> None:
        """Continue exactly where `state` was taken."""
        super().load_state(state)
        self.cma.load_state(state["cma"])
        self._proposed, self._group, self._learned = state["counts"]
        self._waiting = {row["number"]: _Point(**row) for row in state["waiting"]}
        self._told = [_Point(**row) for row in state["told"]]


def _coordinates(space: AnySpace, structure: str | None) -> Coordinates:
    """The numbers of the structure, or of the first seed that has some."""
    if isinstance(space, JointSpace):
        hint = "search one slot at a time, or choose another method"
        raise UserError("one slot for cma_es", f"those of {space.name}", hint)
    if structure is None:
        return _of_seeds(space)
    if is_file(structure) and not is_text_form(structure):
        hint = f'write seeds = ["{structure}"] and leave method.structure out: it is then the first seed with numbers'
        raise UserError("method.structure as a name or a text form", structure[:80], hint)
    return with_numbers(structure, space.constants, space.signature)


def _of_seeds(space: SearchSpace) -> Coordinates:
    for seed in space.seeds:
        if len(found := Coordinates.of(seed, space.constants)):
            return found
    hint = 'name one: structure = "…" in the table [method], or seeds = ["…"]'
    raise UserError("a seed with numbers to search", f"none among those of space {space.name}", hint)
