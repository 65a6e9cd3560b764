"""A loss: a graph with a name and where it comes from, and the faces through which it is used."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.graph import Graph, Parameter
from lossearch.ir.core.primitive import PRIMITIVES
from lossearch.ir.core.signature import Signature
from lossearch.ir.forms import json as json_form
from lossearch.ir.forms import latex as latex_form
from lossearch.ir.forms import text as text_form
from lossearch.plain_text import is_name
from lossearch.reading import check_text

if TYPE_CHECKING:
    from lossearch.compile.module import LossModule


@dataclass(frozen=True)
class Loss:
    """A named loss.

    Attributes:
        name: An identifier.
        graph: Root expression, signature, parameters.
        source: Author and year of a hand-designed loss, or the run that found a discovered one.
    """

    name: str
    graph: Graph
    source: str = ""

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise UserError("a loss name that is an identifier", repr(self.name), "use letters, digits and _")
        check_text(self.source, "a source", "leave them out")

    @property
    def signature(self) -> Signature:
        """The task family whose inputs the loss takes."""
        return self.graph.signature

    @property
    def root(self) -> Expr:
        """The root expression."""
        return self.graph.root

    @property
    def parameters(self) -> tuple[Parameter, ...]:
        """Named numbers with defaults and bounds."""
        return self.graph.parameters

    @property
    def key(self) -> str:
        """Structural SHA-256 of the graph."""
        return self.graph.key

    @property
    def complexity(self) -> int:
        """Distinct operators after expanding primitives."""
        return self.graph.complexity

    def bind(self, **values: float) -> Loss:
        """The same loss with other parameter values; raises `UserError` outside the bounds."""
        return replace(self, graph=self.graph.bind(values))

    def to_module(self, backend: str = "eager", **options: Any) -> LossModule:
        """An `nn.Module` with `forward(prediction, target)`; see `lossearch.compile.build` for the options."""
        from lossearch.compile import build

        return build(self.graph, backend=backend, name=self.name, **options)

    def to_text(self) -> str:
        """The readable one-line form; `from_text` gives back the same graph."""
        return text_form.format_graph(self.graph)

    @classmethod
    def from_text(cls, text: str, name: str = "loss", source: str = "") -> Loss:
        """The loss that a one-line form describes; raises `UserError` that names the place."""
        PRIMITIVES.extend()
        return cls(name, text_form.parse_graph(text), source)

    def to_json(self) -> str:
        """The exchange form: a JSON document that loads without evaluating code."""
        head = {"name": self.name, "source": self.source, "formula": self.to_text()}
        return json_form.dumps({**head, **json_form.graph_to_dict(self.graph)})

    @classmethod
    def from_json(cls, text: str) -> Loss:
        """The loss in a JSON document; raises `UserError` for anything malformed."""
        PRIMITIVES.extend()
        document: Mapping[str, Any] = json_form.loads(text)
        for field in ("name", "source"):
            if not isinstance(document.get(field), str):
                raise UserError(f"the field {field!r} as text", repr(document.get(field))[:80], "correct the document")
        return cls(document["name"], json_form.graph_from_dict(document), document["source"])

    def latex(self) -> str:
        """The formula in LaTeX."""
        return latex_form.format_graph(self.graph)

    def _repr_latex_(self) -> str:
        return f"$$\\displaystyle {self.latex()}$$"  # what Jupyter shows

    def __reduce__(self) -> tuple[Any, ...]:
        return type(self).from_json, (self.to_json(),)

    def __str__(self) -> str:
        return self.to_text()
