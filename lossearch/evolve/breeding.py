"""How candidates are made from a search space: at random, by mutation, and from two parents."""

from __future__ import annotations

import random
from abc import ABC, abstractmethod
from typing import Any

from lossearch.errors import UserError
from lossearch.evolve.grammar import Grammar
from lossearch.evolve.variation import crossover, mutate
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.joint import AnyGraph, JointGraph
from lossearch.search_spaces.joint import AnySpace, JointSpace
from lossearch.search_spaces.space import SearchSpace

MOST_TRIES = 10_000
"""Random expressions without one of prediction and target after which a space counts as having none with both."""


class Breeder(ABC):
    """Makes candidates. All randomness comes from the generator that it is given."""

    @abstractmethod
    def random(self, rng: random.Random) -> AnyGraph:
        """A candidate drawn anew; raises `UserError` where the space has none."""

    @abstractmethod
    def mutated(self, parent: Any, rng: random.Random) -> tuple[AnyGraph | None, str]:
        """A changed candidate and what was changed; None where what came of it is no candidate."""

    @abstractmethod
    def crossed(self, first: Any, second: Any, rng: random.Random) -> AnyGraph | None:
        """A candidate of two parents; None where what came of it is none."""


class SlotBreeder(Breeder):
    """Makes losses of one slot from the grammar of a space.

    Args:
        space: what may be built.
    """

    def __init__(self, space: SearchSpace) -> None:
        self.space = space
        self.grammar = Grammar(space)
        self._needed = self.grammar.signature.needed

    def random(self, rng: random.Random) -> Graph:
        """A random expression in which both prediction and target occur."""
        for _ in range(MOST_TRIES):
            size = rng.randint(1, self.space.max_initial_size)
            graph = self._graph_of(self.grammar.expression(self.space.root, size, rng))
            if graph is not None:
                return graph
        found = f"none among {MOST_TRIES} of space {self.space.name}"
        raise UserError("expressions with both prediction and target", found, "add a terminal that has both")

    def mutated(self, parent: Graph, rng: random.Random) -> tuple[Graph | None, str]:
        """A changed expression and the name of the mutation."""
        root, name = mutate(parent.root, self.grammar, rng)
        return self._graph_of(root, parent.weight), name

    def crossed(self, first: Graph, second: Graph, rng: random.Random) -> Graph | None:
        """A subexpression of the second in the first, or a weighted sum of both."""
        root = crossover(first.root, second.root, self.grammar, rng)
        return None if root is None else self._graph_of(root, first.weight)

    def _graph_of(self, root: Expr, weight: Expr | None = None) -> Graph | None:
        """The graph of an expression, unless prediction or target is missing from it or something excluded is in it.

        The weight of the mean over a parent's elements is inherited, as far as the child has these elements.
        """
        if not self.grammar.allows([root]):
            return None
        kept = weight is not None and set(weight.axes) <= set(root.axes)
        graph = Graph(self.grammar.signature, root, weight=weight if kept else None)
        return graph if all(map(graph.uses, self._needed)) else None


class JointBreeder(Breeder):
    """Makes candidates for several slots, changing one slot's loss at a time.

    Args:
        space: of all slots.
    """

    def __init__(self, space: JointSpace) -> None:
        self.slots = {slot: SlotBreeder(one) for slot, one in space.spaces.items()}

    def random(self, rng: random.Random) -> JointGraph:
        """A random expression in every slot."""
        return JointGraph.of({slot: breeder.random(rng) for slot, breeder in self.slots.items()})

    def mutated(self, parent: JointGraph, rng: random.Random) -> tuple[JointGraph | None, str]:
        """One slot's loss changed; the name of the mutation says which."""
        slot = rng.choice(list(self.slots))
        graph, name = self.slots[slot].mutated(parent[slot], rng)
        return None if graph is None else parent.with_slot(slot, graph), f"{name} in {slot}"

    def crossed(self, first: JointGraph, second: JointGraph, rng: random.Random) -> JointGraph | None:
        """Each slot's loss from either parent, or one slot's crossed with the other parent's; None for a parent."""
        if rng.random() < 0.5:
            child = JointGraph.of({slot: rng.choice((first, second))[slot] for slot in self.slots})
            return None if child in (first, second) else child
        slot = rng.choice(list(self.slots))
        graph = self.slots[slot].crossed(first[slot], second[slot], rng)
        return None if graph is None else first.with_slot(slot, graph)


def breeder_for(space: AnySpace) -> Breeder:
    """What makes candidates from a space, or from the spaces of several slots."""
    return JointBreeder(space) if isinstance(space, JointSpace) else SlotBreeder(space)
