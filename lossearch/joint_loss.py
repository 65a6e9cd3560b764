"""The losses of several slots of a task under one name, as a search over these slots finds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lossearch.errors import UserError
from lossearch.ir.core.joint import AnyGraph, JointGraph
from lossearch.ir.core.primitive import PRIMITIVES
from lossearch.ir.forms.joint import any_from_dict, check_slots, is_joint_text, parse_any
from lossearch.ir.forms.json import loads
from lossearch.loss import Loss, NamedGraph, name_and_source


@dataclass(frozen=True)
class JointLoss(NamedGraph[JointGraph]):
    """A loss for each of several slots, such as the `classification` and `box` losses of a detector."""

    def __post_init__(self) -> None:
        super().__post_init__()
        check_slots(self.graph.slots)

    @classmethod
    def of(cls, losses: Mapping[str, Loss], name: str = "joint", source: str = "") -> JointLoss:
        """The losses of several slots, by slot."""
        return cls(name, JointGraph.of({slot: loss.graph for slot, loss in losses.items()}), source)

    @property
    def losses(self) -> dict[str, Loss]:
        """The loss of each slot, named after it."""
        return {slot: Loss(f"{self.name}_{slot}", graph, self.source) for slot, graph in self.graph.items()}

    def __getitem__(self, slot: str) -> Loss:
        """The loss of a slot; raises `UserError` where there is none."""
        if slot not in self.graph.slots:
            raise UserError(f"a slot of {self.name}: {', '.join(self.graph.slots)}", repr(slot), "correct the name")
        return self.losses[slot]

    def latex(self) -> str:
        """The formulas in LaTeX, one line a slot."""
        rows = (rf"\text{{{_escaped(slot)}}} &: {loss.latex()}" for slot, loss in self.losses.items())
        return r"\begin{aligned}" + r" \\ ".join(rows) + r"\end{aligned}"

    def __reduce__(self) -> tuple[Any, ...]:
        return loss_from_json, (self.to_json(),)


def _escaped(slot: str) -> str:
    return slot.replace("_", r"\_")


AnyLoss = Loss | JointLoss
"""A loss, or the losses of several slots."""


def loss_of(graph: AnyGraph, name: str, source: str = "") -> AnyLoss:
    """The loss of a graph, or the losses of a joint one."""
    return JointLoss(name, graph, source) if isinstance(graph, JointGraph) else Loss(name, graph, source)


def loss_from_json(text: str) -> AnyLoss:
    """The loss, or the losses of several slots, in a JSON document; raises `UserError` for anything malformed."""
    document = loads(text)
    if "slots" not in document:
        return Loss.from_json(text)
    PRIMITIVES.extend()
    name, source = name_and_source(document)
    return loss_of(any_from_dict(document), name, source)


def loss_from_text(text: str, name: str = "loss", source: str = "") -> AnyLoss:
    """The loss that a one-line form describes, or the losses of several slots; raises `UserError` naming the place."""
    if not is_joint_text(text):
        return Loss.from_text(text, name, source)
    PRIMITIVES.extend()
    return loss_of(parse_any(text), name, source)
