"""The catalogue of hand-designed losses, from their declarations: `python -m lossearch.report.catalogue FILE`."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path

from lossearch import zoo
from lossearch.errors import UserError
from lossearch.files import storage_errors
from lossearch.ir.core.signature import SIGNATURES
from lossearch.ir.forms import latex as latex_form
from lossearch.zoo import Entry


def catalogue() -> str:
    """The page in Markdown, formulas in LaTeX between dollar signs as GitHub and most viewers render them."""
    return "\n".join([*_head(), *(line for family in _families() for line in _family(family))]) + "\n"


def _families() -> list[str]:
    families = dict.fromkeys(signature.family for signature in SIGNATURES.values())
    return [family for family in families if zoo.entries(family)]


def _head() -> Iterator[str]:
    yield "# Catalogue of hand-designed losses"
    yield ""
    yield "Written by `make docs` from the declarations in `lossearch/zoo`: not to be edited. Each loss is a graph over"
    yield "`primitives/`, checked against an oracle in `tests/zoo`, and exports as `.py .pt .pt2 .json .tex`."
    yield ""
    for family in _families():
        named = ", ".join(f"[{entry.name}](#{entry.name})" for entry in zoo.entries(family))
        yield f"- **{family}**: {named}"


def _family(family: str) -> Iterator[str]:
    yield from ("", f"## {family}")
    for entry in zoo.entries(family):
        yield from _entry(entry)


def _entry(entry: Entry) -> Iterator[str]:
    graph = entry.build().graph
    yield from ("", f"### {entry.name}", "", *entry.doc.splitlines(), "", f"Source: {entry.source}.")
    inputs = (
        f"`{i.name}[{', '.join(i.axes)}]`" for i in entry.signature.inputs if i.role != "buffer" or graph.uses(i.name)
    )
    yield from ("", f"Inputs ({entry.signature.name}): {', '.join(inputs)}.", "")
    yield from _block([str(line) for line in latex_form.equations(graph)])
    if definitions := [str(line) for line in latex_form.definitions(graph)]:
        yield from ("", "where", "")
        yield from _block(definitions)
    if entry.parameters:
        yield ""
        for p in entry.parameters:
            kinds = "".join(f", {kind}" for kind in ("tunable", "learnable") if getattr(p, kind))
            tried = f"a search tries [{p.lower:g}, {p.upper:g}]"
            yield f"- `{p.name}` = {p.default:g}{kinds}; defined for {p.domain}; {tried}"
    if entry.options:
        yield from ("", f"Options: {', '.join(f'`{name}={default!r}`' for name, default in entry.options)}.")


def _block(equations: list[str]) -> Iterator[str]:
    yield "```math"
    yield "\\begin{gathered}"
    yield " \\\\\n".join(equations)
    yield "\\end{gathered}"
    yield "```"


def main() -> None:
    """Write the page to the file named on the command line."""
    if len(sys.argv) != 2:
        raise UserError("one file to write", f"{len(sys.argv) - 1} arguments", "name it: docs/CATALOGUE.md")
    path = Path(sys.argv[1])
    with storage_errors(path):
        path.write_text(catalogue(), encoding="utf-8")


if __name__ == "__main__":
    main()
