"""Formulas as MathML, which browsers render without a network or a script."""

from __future__ import annotations

import re
from dataclasses import dataclass
from xml.etree import ElementTree

from latex2mathml.converter import convert

from lossearch.ir.forms import latex as latex_form
from lossearch.ir.forms.latex import Equation
from lossearch.ir.forms.text import format_graph
from lossearch.loss import Loss

_UPRIGHT = re.compile(r"\\mathrm\{([^{}]*)\}")
_NAMESPACE = "{http://www.w3.org/1998/Math/MathML}"
_ELEMENTS = frozenset({
    "math", "mrow", "mi", "mn", "mo", "mtext", "mspace", "mstyle", "mfrac", "msqrt", "msub", "msup", "msubsup",
    "munder", "mover", "munderover", "mtable", "mtr", "mtd",
})  # fmt: skip
_ATTRIBUTES = frozenset({
    "display", "displaystyle", "scriptlevel", "stretchy", "fence", "form", "mathvariant", "columnalign", "width",
})  # fmt: skip


@dataclass(frozen=True)
class Formula:
    """A loss in every form that a page shows.

    Attributes:
        lines: MathML, one element per equation.
        definitions: MathML of what the primitives in it stand for.
        parameters: MathML of each parameter's value.
        text: One-line text form.
        latex: LaTeX source.
    """

    lines: tuple[str, ...]
    definitions: tuple[str, ...]
    parameters: tuple[str, ...]
    text: str
    latex: str

    @classmethod
    def of(cls, loss: Loss) -> Formula:
        """The forms of a loss."""
        values = (Equation(latex_form.symbol(p.name), latex_form.number(p.default)) for p in loss.parameters)
        return cls(
            tuple(mathml(str(line)) for line in latex_form.equations(loss.graph)),
            tuple(mathml(str(line)) for line in latex_form.definitions(loss.graph)),
            tuple(mathml(str(line), display="inline") for line in values),
            format_graph(loss.graph),
            loss.latex(),
        )


def mathml(latex: str, display: str = "block") -> str:
    """LaTeX as one `<math>` element of presentation MathML.

    It is rebuilt from an allow-list of elements and attributes, so that no text can bring other markup with it.
    """
    root = ElementTree.fromstring(convert(_UPRIGHT.sub(r"\\text{\1}", latex), display=display))
    return ElementTree.tostring(_cleaned(root), encoding="unicode", method="html")


def _cleaned(element: ElementTree.Element) -> ElementTree.Element:
    name = element.tag.removeprefix(_NAMESPACE)
    if name not in _ELEMENTS:
        raise ValueError(f"{name} is no element of presentation MathML")
    text = element.text or ""
    if name == "mo" and len(text) > 1 and text.isalpha():
        name = "mi"  # an operator name is spaced like a function, not like a sign
    kept = {key: value for key, value in element.attrib.items() if key in _ATTRIBUTES}
    if kept.get("mathvariant") == "double-struck" and text == "1":
        kept, text = {}, "\N{MATHEMATICAL DOUBLE-STRUCK DIGIT ONE}"  # browsers know this variant no longer
    clean = ElementTree.Element(name, kept)
    clean.text, clean.tail = text.replace("'", "\N{PRIME}"), element.tail
    for child in map(_cleaned, list(element)):
        if len(clean) and name == "mrow" and _is_word(clean[-1]) and _is_word(child):
            clean.append(ElementTree.Element("mspace", {"width": "0.17em"}))
        clean.append(child)
    return clean


def _is_word(element: ElementTree.Element) -> bool:
    """Whether it is, or begins with, a name of several letters."""
    if element.tag in ("msub", "munder") and len(element):
        return _is_word(element[0])
    return element.tag == "mi" and len(element.text or "") > 1
