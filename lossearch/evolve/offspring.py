"""Bred candidates, whichever way a method chooses their parents."""

from __future__ import annotations

import random
from collections.abc import Callable

from lossearch.evolve.breeding import Breeder
from lossearch.evolve.method import Individual, Proposal


def bred(
    breeder: Breeder, rng: random.Random, choose: Callable[[], Individual], crossover_share: float = 0.0
) -> Proposal:
    """A mutated parent, or one crossed with another.

    Args:
        breeder: of the space.
        rng: of the method.
        choose: gives a parent; asked again where nothing comes of one.
        crossover_share: share of proposals that have two parents.
    """
    while True:
        parent = choose()
        keys: tuple[str, ...] = (parent.graph.key,)
        if rng.random() < crossover_share:
            other = choose()
            graph, name = breeder.crossed(parent.graph, other.graph, rng), "crossover"
            keys = (parent.graph.key, other.graph.key)
        else:
            graph, mutation = breeder.mutated(parent.graph, rng)
            name = f"mutation:{mutation}"
        if graph is not None:
            return Proposal(graph, name, keys)
