"""The search space of several slots at once: a space for each, and seeds that have a loss in every slot."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from lossearch.ir.core.joint import AnyGraph, JointGraph
from lossearch.search_spaces.restricted import allows
from lossearch.search_spaces.space import SearchSpace
from lossearch.zoo.named import graph_of

_BETWEEN = " | "
_IS = " = "


@dataclass(frozen=True)
class JointSpace:
    """What may be built for several slots together.

    A candidate with a loss in every slot is proposed by changing one slot's loss at a time, or by taking slots from two
    candidates. The seeds are the references of all slots together, then each slot's seeds, one at a time, beside the
    references of the others. Where a space excludes its reference, its own first seed stands for it.

    Attributes:
        spaces: by slot.
        references: by slot the loss that stands beside the seeds of other slots, as `graph_of` takes it.
        seeds: each as `box = giou | classification = focal`.
    """

    spaces: Mapping[str, SearchSpace]
    references: Mapping[str, str]
    seeds: tuple[str, ...] = ()

    @classmethod
    def of(
        cls, spaces: Mapping[str, SearchSpace], references: Mapping[str, str], seeds: Sequence[str] = ()
    ) -> JointSpace:
        """The space of slots that are searched together.

        Args:
            spaces: by slot.
            references: by slot.
            seeds: with a loss in every slot, before the others.
        """
        beside = {
            slot: one if allows(spaces[slot], one) or not spaces[slot].seeds else spaces[slot].seeds[0]
            for slot, one in references.items()
        }
        found = [dict(beside)]
        for slot, space in spaces.items():
            known = graph_of(beside[slot]).key
            found += [{**beside, slot: seed} for seed in space.seeds if graph_of(seed).key != known]
        return cls(spaces, beside, (*seeds, *map(_written, found)))

    @property
    def name(self) -> str:
        """The names of all spaces."""
        return ", ".join(f"{space.name} for {slot}" for slot, space in self.spaces.items())

    @property
    def max_nodes(self) -> int:
        """Operators of all losses together, at most."""
        return sum(space.max_nodes for space in self.spaces.values())

    def complexity_of(self, graph: JointGraph) -> int:
        """What each loss counts in its own space, added up."""
        return sum(space.complexity_of(graph[slot]) for slot, space in self.spaces.items())

    def rotated(self, start: int) -> JointSpace:
        """The same space, whose seeds begin at another one."""
        return replace(self, seeds=self.seeds[start:] + self.seeds[:start])

    def seed_graph(self, seed: str) -> JointGraph:
        """The graphs of a seed."""
        return JointGraph.of({slot: graph_of(loss) for slot, loss in _read(seed).items()})

    def label(self, seed: str) -> str:
        """What a seed is called in tables: the slot in which it differs from the references, and the loss there."""
        losses = _read(seed)
        changed = {slot: loss for slot, loss in losses.items() if loss != self.references[slot]} or losses
        named = {slot: self.spaces[slot].label(loss) for slot, loss in changed.items()}
        return _written(named)


def _written(losses: Mapping[str, str]) -> str:
    return _BETWEEN.join(f"{slot}{_IS}{loss}" for slot, loss in losses.items())


def _read(seed: str) -> dict[str, str]:
    return dict(part.split(_IS, 1) for part in seed.split(_BETWEEN))


AnySpace = SearchSpace | JointSpace
"""What may be built for the slot that is searched, or for those that are searched together."""


def complexity_in(space: AnySpace, graph: AnyGraph) -> int:
    """How complex a candidate of a space is there."""
    if isinstance(space, JointSpace):
        assert isinstance(graph, JointGraph)
        return space.complexity_of(graph)
    assert not isinstance(graph, JointGraph)
    return space.complexity_of(graph)
