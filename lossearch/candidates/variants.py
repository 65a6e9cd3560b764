"""Variants of a candidate: the same structure with other constants."""

from __future__ import annotations

import math
import random

from lossearch.compile.constants import free_constants
from lossearch.ir.core.expr import Expr, constant
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.joint import AnyGraph, JointGraph
from lossearch.ir.core.places import Place, replace_at
from lossearch.ir.core.types import IllTyped
from lossearch.ir.rewriting.ranges import graph_out_of_range


def candidate_variants(graph: AnyGraph, count: int, spread: float, seed: int) -> list[AnyGraph]:
    """`constant_variants` of a candidate; of one for several slots the constants of all losses vary at once."""
    if not isinstance(graph, JointGraph):
        return list(constant_variants(graph, count, spread, seed))
    variants = {slot: constant_variants(one, count, spread, seed) for slot, one in graph.items()}
    most = max(map(len, variants.values()))
    # A loss with fewer variants than the others', as one without constants, takes its own in turn.
    return [JointGraph.of({slot: found[k % len(found)] for slot, found in variants.items()}) for k in range(most)]


def constant_variants(graph: Graph, count: int, spread: float, seed: int) -> list[Graph]:
    """The graph, and well-typed, in-range others with constants, each place by itself, times e^(spread·N(0, 1))."""
    found = free_constants(graph.roots)
    if not found:
        return [graph]
    rng = random.Random(f"{graph.key}:{seed}")
    variants = [graph]
    for _ in range(count - 1):
        changes: dict[Place, Expr] = {}
        for place in found:
            value = place.value * math.exp(spread * rng.gauss(0.0, 1.0))
            changes[place] = constant(float(f"{min(max(value, -1e3), 1e3):.3g}"))
        try:
            variant = graph.with_roots(replace_at(graph.roots, changes))
        except IllTyped:
            continue
        if graph_out_of_range(variant) is None:
            variants.append(variant)
    return variants
