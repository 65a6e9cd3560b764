"""A loss: a graph with a name and where it comes from, and the faces through which it is used."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Generic, Self, TypeVar

from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.graph import Graph, Parameter
from lossearch.ir.core.joint import JointGraph
from lossearch.ir.core.primitive import PRIMITIVES
from lossearch.ir.core.signature import Signature
from lossearch.ir.forms import json as json_form
from lossearch.ir.forms import latex as latex_form
from lossearch.ir.forms import text as text_form
from lossearch.ir.forms.joint import any_to_dict, format_any
from lossearch.plain_text import is_name
from lossearch.reading import check_text

if TYPE_CHECKING:
    from lossearch.compile.module import LossModule


G = TypeVar("G", Graph, JointGraph)


@dataclass(frozen=True)
class NamedGraph(ABC, Generic[G]):
    """A graph, or a graph for each of several slots, with a name and where it comes from.

    Attributes:
        name: An identifier.
        graph: What is compiled.
        source: Author and year of a hand-designed loss, or the run that found a discovered one.
    """

    name: str
    graph: G
    source: str = ""

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise UserError("a loss name that is an identifier", repr(self.name), "use letters, digits and _")
        check_text(self.source, "a source", "leave them out")

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Named numbers with defaults and bounds; those of several slots are called by slot and name: `box_gamma`."""
        return self.graph.parameters

    @property
    def key(self) -> str:
        """Structural SHA-256."""
        return self.graph.key

    @property
    def complexity(self) -> int:
        """Distinct operators after expanding primitives; of several slots added up."""
        return self.graph.complexity

    def bind(self, **values: float) -> Self:
        """The same with other parameter values; raises `UserError` outside the bounds."""
        return replace(self, graph=self.graph.bind(values))

    def to_text(self) -> str:
        """The readable one-line form: `dense: …`, or `box = box: … | classification = dense: …`."""
        return format_any(self.graph)

    def to_json(self) -> str:
        """The exchange form: a JSON document that loads without evaluating code."""
        head = {"name": self.name, "source": self.source, "formula": self.to_text()}
        return json_form.dumps({**head, **any_to_dict(self.graph)})

    @abstractmethod
    def latex(self) -> str:
        """The formula in LaTeX."""

    def _repr_latex_(self) -> str:
        return f"$$\\displaystyle {self.latex()}$$"  # what Jupyter shows

    def __str__(self) -> str:
        return self.to_text()


@dataclass(frozen=True)
class Loss(NamedGraph[Graph]):
    """A named loss: root expression, signature, parameters."""

    @property
    def signature(self) -> Signature:
        """The task family whose inputs the loss takes."""
        return self.graph.signature

    @property
    def root(self) -> Expr:
        """The root expression."""
        return self.graph.root

    def to_module(self, backend: str = "eager", **options: Any) -> LossModule:
        """An `nn.Module` with `forward(prediction, target)`; see `lossearch.compile.build` for the options."""
        from lossearch.compile import build

        return build(self.graph, backend=backend, name=self.name, **options)

    @classmethod
    def from_text(cls, text: str, name: str = "loss", source: str = "") -> Loss:
        """The loss that a one-line form describes; raises `UserError` that names the place."""
        PRIMITIVES.extend()
        return cls(name, text_form.parse_graph(text), source)

    @classmethod
    def from_json(cls, text: str) -> Loss:
        """The loss in a JSON document; raises `UserError` for anything malformed."""
        PRIMITIVES.extend()
        document = json_form.loads(text)
        name, source = name_and_source(document)
        return cls(name, json_form.graph_from_dict(document), source)

    def latex(self) -> str:
        """The formula in LaTeX."""
        return latex_form.format_graph(self.graph)

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_json, (self.to_json(),)


def name_and_source(document: Mapping[str, Any]) -> tuple[str, str]:
    """What a JSON document says of a loss besides its graph; raises `UserError` where it does not."""
    for field in ("name", "source"):
        if not isinstance(document.get(field), str):
            raise UserError(f"the field {field!r} as text", repr(document.get(field))[:80], "correct the document")
    return document["name"], document["source"]
