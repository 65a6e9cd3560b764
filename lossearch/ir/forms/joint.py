"""Text and JSON of candidates for several slots: `box = box: … | classification = dense: …`, and a document a slot."""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from typing import Any

from lossearch.errors import UserError
from lossearch.ir.core.joint import AnyGraph, JointGraph
from lossearch.ir.forms.json import dumps, graph_from_dict, graph_to_dict, loads
from lossearch.ir.forms.text import format_graph, parse_graph
from lossearch.plain_text import is_name

MOST_SLOTS = 32

_BETWEEN = " | "
_PART = re.compile(r"\s*([^\W\d]\w*)\s*=(?!=)(.*)", re.DOTALL)
_FORM = "a slot with its loss, as in box = box: …"


def format_any(graph: AnyGraph) -> str:
    """The one-line form; `parse_any` gives back the same graphs."""
    if isinstance(graph, JointGraph):
        return _BETWEEN.join(f"{slot} = {format_graph(one)}" for slot, one in graph.items())
    return format_graph(graph)


def is_joint_text(text: str) -> bool:
    """Whether a text is that of losses of several slots; one loss begins with its signature and a colon."""
    return _PART.fullmatch(text) is not None


def parse_any(text: str) -> AnyGraph:
    """The graphs that `format_any` wrote; raises `UserError` that names the place."""
    if not is_joint_text(text):
        return parse_graph(text)
    graphs: dict[str, Any] = {}
    for part in text.split(_BETWEEN.strip()):
        match = _PART.fullmatch(part)
        if match is None:
            raise UserError(_FORM, repr(part.strip()[:80]), "write one for each slot, with | between them")
        slot, loss = match.groups()
        if slot in graphs:
            raise UserError("one loss for each slot", f"two for {slot}", "leave one out")
        graphs[slot] = parse_graph(loss)
    return _checked(graphs)


def any_to_dict(graph: AnyGraph) -> dict[str, Any]:
    """As plain data: `graph_to_dict` of the one graph, or of each slot's under `slots`."""
    if isinstance(graph, JointGraph):
        return {"slots": {slot: graph_to_dict(one) for slot, one in graph.items()}}
    return graph_to_dict(graph)


def any_from_dict(document: Mapping[str, Any]) -> AnyGraph:
    """The graphs that `any_to_dict` wrote; every field is checked."""
    if "slots" not in document:
        return graph_from_dict(document)
    slots = document["slots"]
    if not isinstance(slots, dict) or not all(isinstance(one, dict) for one in slots.values()):
        raise UserError("slots with a document each", repr(slots)[:80], "export the losses again")
    return _checked({slot: graph_from_dict(one) for slot, one in slots.items()})


def any_to_json(graph: AnyGraph) -> str:
    """The exchange form."""
    return dumps(any_to_dict(graph))


def any_from_json(text: str) -> AnyGraph:
    """What `any_to_json` wrote; raises `UserError` for anything malformed."""
    return any_from_dict(loads(text))


def _checked(graphs: Mapping[str, Any]) -> JointGraph:
    check_slots(graphs)
    return JointGraph.of(graphs)


def check_slots(graphs: Collection[str]) -> None:
    """Raise `UserError` where slots have names that the forms cannot hold, or are too many."""
    if not 1 <= len(graphs) <= MOST_SLOTS or not all(map(is_name, graphs)):
        found = f"{len(graphs)}: {', '.join(graphs)}"[:80]
        raise UserError(f"1 to {MOST_SLOTS} slots with identifiers as names", found, "correct the names")
