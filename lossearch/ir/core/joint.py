"""The losses of several slots of a task as one candidate: a graph for each slot."""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from functools import cached_property

from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.parameter import Parameter


@dataclass(frozen=True)
class JointGraph:
    """A graph for each of several slots, in alphabetical order of the slots; equal graphs make an equal joint one.

    Attributes:
        parts: slots with their graphs; `of` makes them from a mapping.
    """

    parts: tuple[tuple[str, Graph], ...]

    @classmethod
    def of(cls, graphs: Mapping[str, Graph]) -> JointGraph:
        """From graphs by slot."""
        return cls(tuple(sorted(graphs.items())))

    @property
    def slots(self) -> tuple[str, ...]:
        """The slots, in alphabetical order."""
        return tuple(slot for slot, _ in self.parts)

    def items(self) -> Iterator[tuple[str, Graph]]:
        """Slots with their graphs."""
        return iter(self.parts)

    def __getitem__(self, slot: str) -> Graph:
        """The graph of a slot; raises `KeyError` where there is none."""
        return dict(self.parts)[slot]

    def with_slot(self, slot: str, graph: Graph) -> JointGraph:
        """The same graphs but for one slot's."""
        return JointGraph(tuple((name, graph if name == slot else kept) for name, kept in self.parts))

    def map(self, change: Callable[[Graph], Graph]) -> JointGraph:
        """Every graph changed."""
        return JointGraph(tuple((slot, change(graph)) for slot, graph in self.parts))

    def expanded(self) -> JointGraph:
        """Every primitive call replaced by its body."""
        return self.map(Graph.expanded)

    def frozen(self) -> JointGraph:
        """Parameters that are not learnable replaced by their defaults as constants."""
        return self.map(Graph.frozen)

    @property
    def complexity(self) -> int:
        """Distinct operators of each graph after expansion, added up."""
        return sum(graph.complexity for _, graph in self.parts)

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters of all graphs; each is called by its slot and its name: `box_gamma`."""
        return tuple(parameter for parameter, _, _ in self._parameters.values())

    def bind(self, values: Mapping[str, float]) -> JointGraph:
        """The same graphs with new defaults for the named parameters; raises `UserError` as `Graph.bind` does."""
        known = self._parameters
        if unknown := values.keys() - known.keys():
            found = ", ".join(sorted(unknown))
            raise UserError(f"parameters among {sorted(known) or 'none'}", found, "correct the name")
        by_slot: dict[str, dict[str, float]] = {slot: {} for slot in self.slots}
        for name, value in values.items():
            _, slot, own = known[name]
            by_slot[slot][own] = value
        return JointGraph(tuple((slot, graph.bind(by_slot[slot])) for slot, graph in self.parts))

    @cached_property
    def _parameters(self) -> dict[str, tuple[Parameter, str, str]]:
        """By the name that a parameter has here: itself so called, its slot, and its own name."""
        found: dict[str, tuple[Parameter, str, str]] = {}
        for slot, graph in self.parts:
            for parameter in graph.parameters:
                name = f"{slot}_{parameter.name}"
                if name in found:
                    hint = "rename a slot or a parameter"
                    raise UserError("slots whose parameters have different names", f"{name} twice", hint)
                found[name] = (replace(parameter, name=name), slot, parameter.name)
        return found

    @cached_property
    def key(self) -> str:
        """Structural SHA-256 over the slots and the keys of their graphs; the same in every process."""
        text = "|".join(f"{slot}={graph.key}" for slot, graph in self.parts)
        return hashlib.sha256(text.encode()).hexdigest()


AnyGraph = Graph | JointGraph
"""A candidate: the loss of the one slot that is searched, or those of several."""


def by_slot(graph: AnyGraph, slot: str) -> dict[str, Graph]:
    """The graphs of a candidate by slot; `slot` is that of a candidate for one slot alone."""
    return dict(graph.parts) if isinstance(graph, JointGraph) else {slot: graph}
