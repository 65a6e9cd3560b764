"""The docstring of a standalone module: formula, provenance, parameters, inputs."""

from __future__ import annotations

import textwrap
from collections.abc import Iterator

from lossearch.compile.class_weights import CLASS_WEIGHT
from lossearch.compile.export.forms import Exportable, ExportPlan
from lossearch.ir.core.signature import Input

WIDTH = 100


Shorter = tuple[str, str]
"""The one-line form of a shorter loss that serves as well, and how that is known."""


def docstring(loss: Exportable, plan: ExportPlan, shorter: Shorter | None = None) -> Iterator[str]:
    """Its lines, quotes included."""
    source = f" ({plain(loss.source)})" if loss.source else ""
    yield f'r"""The loss {loss.name}{source}.'
    yield from ("", "Formula:", *_wrapped(loss.latex()), "")
    yield from ("As lossearch reads it:", *_wrapped(loss.to_text()), "")
    if shorter is not None:
        text, how = shorter
        yield from (*_wrapped(f"Its shorter form, {how}:", ""), *_wrapped(text), "")
    if parameters := loss.graph.parameters:
        values = (f"{p.name} = {p.default:g}{' (learnable)' * p.learnable}" for p in parameters)
        yield from (f"Parameters: {', '.join(values)}.", "")
    yield from (
        "Inputs of `forward`:",
        *(f"    {_spell(declared)}" for declared in plan.graph.signature.forward_inputs),
    )
    yield from ("", "Args:", *(f"    {line}" for line in _arguments(plan)), '"""')


def _arguments(plan: ExportPlan) -> Iterator[str]:
    required = [name for name in plan.buffers if plan.graph.uses(name)]
    for name in required:
        yield f"{'weight' if name == CLASS_WEIGHT else name}: {plain(plan.graph.signature[name].doc)}."
    weighed = " (over what is kept)" if plan.rescales else " (divided by the sum of weights)" if plan.weighs else ""
    batch = ", batchmean (sum by batch)" if "batchmean" in plan.reductions else ""
    yield f"reduction: mean{weighed}, sum{batch}, or none."
    if len(plan.buffers) > len(required):
        yield f"weight: {'factor' if plan.rescales else 'weight'} of each class."
    if plan.target is not None:
        yield "ignore_index: integer label whose elements are left out."


def _wrapped(text: str, indent: str = "    ") -> list[str]:
    """Lines that break at spaces only, as LaTeX and the text form allow."""
    return textwrap.wrap(
        plain(text),
        WIDTH,
        break_long_words=False,
        break_on_hyphens=False,
        initial_indent=indent,
        subsequent_indent=indent,
    )


def plain(text: str) -> str:
    """Text on one line that cannot end the docstring it stands in."""
    return " ".join(text.replace('"', "'").split()).rstrip("\\")


def _spell(declared: Input) -> str:
    axes = ", ".join("*space" if axis == "space" else axis for axis in declared.axes)
    return f"{declared.name}[{axes}]" + (f": {plain(declared.doc)}" if declared.doc else "")
