"""The losses of several slots of a task under one name, as a search over these slots finds them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from lossearch.errors import UserError
from lossearch.ir.core.joint import AnyGraph, JointGraph
from lossearch.ir.core.parameter import Parameter
from lossearch.ir.core.primitive import PRIMITIVES
from lossearch.ir.forms.joint import any_from_dict, any_to_dict, check_slots, format_any, is_joint_text, parse_any
from lossearch.ir.forms.json import dumps, loads
from lossearch.loss import Loss
from lossearch.plain_text import is_name
from lossearch.reading import check_text


@dataclass(frozen=True)
class JointLoss:
    """A loss for each of several slots, such as the `classification` and `box` losses of a detector.

    Attributes:
        name: An identifier.
        graph: The graph of each slot.
        source: The run that found them.
    """

    name: str
    graph: JointGraph
    source: str = ""

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise UserError("a loss name that is an identifier", repr(self.name), "use letters, digits and _")
        check_text(self.source, "a source", "leave them out")
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

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """The parameters of all losses, each called by its slot and its name: `box_gamma`."""
        return self.graph.parameters

    @property
    def key(self) -> str:
        """Structural SHA-256 over all slots."""
        return self.graph.key

    @property
    def complexity(self) -> int:
        """Distinct operators of each loss after expanding primitives, added up."""
        return self.graph.complexity

    def bind(self, **values: float) -> JointLoss:
        """The same losses with other parameter values; raises `UserError` outside the bounds."""
        return replace(self, graph=self.graph.bind(values))

    def to_text(self) -> str:
        """The readable one-line form, `box = box: … | classification = dense: …`."""
        return format_any(self.graph)

    def to_json(self) -> str:
        """The exchange form: a JSON document that loads without evaluating code."""
        return dumps({"name": self.name, "source": self.source, "formula": self.to_text(), **any_to_dict(self.graph)})

    def latex(self) -> str:
        """The formulas in LaTeX, one line a slot."""
        rows = (rf"\text{{{_escaped(slot)}}} &: {loss.latex()}" for slot, loss in self.losses.items())
        return r"\begin{aligned}" + r" \\ ".join(rows) + r"\end{aligned}"

    def _repr_latex_(self) -> str:
        return f"$$\\displaystyle {self.latex()}$$"  # what Jupyter shows

    def __reduce__(self) -> tuple[Any, ...]:
        return loss_from_json, (self.to_json(),)

    def __str__(self) -> str:
        return self.to_text()


def _escaped(slot: str) -> str:
    return slot.replace("_", r"\_")


AnyLoss = Loss | JointLoss
"""A loss, or the losses of several slots."""


def loss_of(graph: AnyGraph, name: str, source: str = "") -> AnyLoss:
    """The loss of a graph, or the losses of a joint one."""
    return JointLoss(name, graph, source) if isinstance(graph, JointGraph) else Loss(name, graph, source)


def loss_from_json(text: str) -> AnyLoss:
    """The loss, or the losses of several slots, in a JSON document; raises `UserError` for anything malformed."""
    document: Mapping[str, Any] = loads(text)
    if "slots" not in document:
        return Loss.from_json(text)
    PRIMITIVES.extend()
    for field in ("name", "source"):
        if not isinstance(document.get(field), str):
            raise UserError(f"the field {field!r} as text", repr(document.get(field))[:80], "correct the document")
    return loss_of(any_from_dict(document), document["name"], document["source"])


def loss_from_text(text: str, name: str = "loss", source: str = "") -> AnyLoss:
    """The loss that a one-line form describes, or the losses of several slots; raises `UserError` naming the place."""
    if not is_joint_text(text):
        return Loss.from_text(text, name, source)
    PRIMITIVES.extend()
    return loss_of(parse_any(text), name, source)
