"""The exchange form: a versioned JSON document, safe to load from anyone.

Nodes are listed once each, arguments before users, so that sharing is kept and size is linear. Loading checks the
schema, rebuilds every node through its type rule, and never evaluates code. A document with primitive calls records
the key of its expanded graph: a primitive that has changed meanwhile is refused rather than silently used. A
parameter's `search` and `defined` are left out where there are none, as in documents written before they existed; an
end of `defined` that is infinite is null.
"""

from __future__ import annotations

import copyreg
import json
import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr, constant, postorder
from lossearch.ir.core.graph import Graph, Parameter
from lossearch.ir.core.operator import OPERATORS, Attribute
from lossearch.ir.core.parameter import Range
from lossearch.ir.core.signature import get_signature
from lossearch.ir.forms.text import MOST_NODES, attributes_of, check_size
from lossearch.reading import finite, parse_json

SCHEMA = "lossearch/1"
LARGEST_DOCUMENT = 16_000_000
_HINT = "correct the document or export it anew"


def encode(roots: Sequence[Expr]) -> dict[str, Any]:
    """Nodes below `roots` as plain lists and numbers."""
    index: dict[Expr, int] = {}
    nodes: list[dict[str, Any]] = []
    for node in postorder(roots):
        index[node] = len(nodes)
        row: dict[str, Any] = {"op": node.op}
        if node.args:
            row["args"] = [index[argument] for argument in node.args]
        if node.attrs:
            row["attrs"] = {key: list(v) if isinstance(v, tuple) else v for key, v in node.attrs}
        nodes.append(row)
    return {"nodes": nodes, "roots": [index[root] for root in roots]}


def decode(document: Mapping[str, Any]) -> Expr:
    """The first root that `encode` wrote."""
    return decode_all(document)[0]


def _reduced(node: Expr) -> tuple[Callable[[Mapping[str, Any]], Expr], tuple[dict[str, Any]]]:
    """How a node is pickled and copied: as its JSON form, so that it is interned where it arrives."""
    return decode, (encode((node,)),)


copyreg.pickle(Expr, _reduced)


def decode_all(document: Mapping[str, Any]) -> list[Expr]:
    """Every root that `encode` wrote, each node checked and typed anew."""
    rows, roots = document.get("nodes"), document.get("roots")
    if not isinstance(rows, list) or not isinstance(roots, list) or not roots:
        raise _error("the fields 'nodes' and 'roots' as lists", repr(sorted(document)))
    if len(rows) > MOST_NODES:
        raise _error(f"at most {MOST_NODES} nodes", str(len(rows)))
    nodes: list[Expr] = []
    for place, row in enumerate(rows):
        nodes.append(_decode_row(row, place, nodes))
    for root in roots:
        _check_reference(root, len(nodes), "roots")
    return [nodes[root] for root in roots]


def _decode_row(row: object, place: int, nodes: list[Expr]) -> Expr:
    where = f"nodes[{place}]"
    if not isinstance(row, dict) or not isinstance(row.get("op"), str) or row.keys() - {"op", "args", "attrs"}:
        raise _error(f"{where} with 'op', 'args' and 'attrs'", repr(row)[:80])
    args, attrs = row.get("args", []), row.get("attrs", {})
    if not isinstance(args, list) or not isinstance(attrs, dict):
        raise _error(f"{where}.args as a list and {where}.attrs as an object", repr(row)[:80])
    for reference in args:
        _check_reference(reference, place, f"{where}.args")
    try:
        return _make(row["op"], [nodes[reference] for reference in args], attrs, where)
    except UserError as error:
        named = error.required if where in error.required else f"{where}: {error.required}"
        raise type(error)(named, error.found, error.hint) from None


def _make(op: str, args: list[Expr], attrs: dict[str, Any], where: str) -> Expr:
    if op == "constant":
        return constant(_number(attrs.get("value"), where))
    if op in ("input", "parameter"):
        return Expr.make(op, args, **_leaf_attributes(op, attrs, where))
    return Expr.make(op, args, **attributes_of(op, attrs, lambda found: _error(where, found)))


def _leaf_attributes(op: str, attrs: dict[str, Any], where: str) -> dict[str, Attribute]:
    declared = {key for key, _ in OPERATORS[op].attributes}
    if not {"name", "axes", "lower", "upper"} <= attrs.keys() <= declared:
        raise _error(f"{where} with name, axes, lower and upper", repr(attrs)[:80])
    axes = attrs["axes"]
    if not isinstance(axes, list) or not all(isinstance(axis, str) for axis in axes):
        raise _error(f"{where}.axes as a list of names", repr(axes)[:80])
    words = {key: attrs[key] for key in ("name", "simplex", "kind") if key in attrs}
    if not all(isinstance(word, str) for word in words.values()):
        raise _error(f"{where} with names as text", repr(words)[:80])
    bounds = {key: _number(attrs[key], where) for key in ("lower", "upper")}
    return {**words, **bounds, "axes": tuple(axes)}


def _number(value: object, where: str) -> float:
    number = finite(value)
    if number is None:
        raise _error(f"a finite number in {where}", repr(value)[:40])
    return number


def _check_reference(reference: object, limit: int, where: str) -> None:
    if isinstance(reference, bool) or not isinstance(reference, int) or not 0 <= reference < limit:
        raise _error(f"{where} that point to earlier nodes", repr(reference)[:40])


def _error(required: str, found: str) -> UserError:
    return UserError(required, found, _HINT)


def graph_to_dict(graph: Graph) -> dict[str, Any]:
    """A graph as plain data."""
    fields = ("name", "default", "lower", "upper", "tunable", "learnable", "log")
    parameters = [{name: getattr(p, name) for name in fields} for p in graph.parameters]
    for row, parameter in zip(parameters, graph.parameters, strict=True):
        if parameter.search is not None:
            row["search"] = list(parameter.search)
        if parameter.defined is not None:
            row["defined"] = [end if math.isfinite(end) else None for end in parameter.defined]
    expanded = graph.expanded()
    return {
        "signature": graph.signature.name,
        "parameters": parameters,
        **encode(graph.roots),
        "expanded_key": expanded.key,
    }


def graph_from_dict(document: Mapping[str, Any]) -> Graph:
    """The graph that `graph_to_dict` wrote; every field is checked."""
    for name, kind in (("signature", str), ("parameters", list), ("expanded_key", str)):
        if not isinstance(document.get(name), kind):
            raise _error(f"the field {name!r} as {kind.__name__}", repr(document.get(name))[:80])
    parameters = tuple(_parameter(row, place) for place, row in enumerate(document["parameters"]))
    roots = decode_all(document)
    if len(roots) > 2:
        raise _error("a root and at most one weight", f"{len(roots)} roots")
    graph = Graph(get_signature(document["signature"]), roots[0], parameters, roots[1] if len(roots) > 1 else None)
    check_size(graph)
    if graph.expanded().key != document["expanded_key"]:
        raise UserError(
            "primitives as they were when the document was written",
            "an expansion that differs",
            "install the version of lossearch or of the package that wrote it",
        )
    return graph


def _parameter(row: object, place: int) -> Parameter:
    where = f"parameters[{place}]"
    if not isinstance(row, dict):
        raise _error(f"{where} as an object", repr(row)[:80])
    numbers = {key: _number(row.get(key), where) for key in ("default", "lower", "upper")}
    flags = {key: row.get(key, False) for key in ("tunable", "learnable", "log")}
    known = isinstance(row.get("name"), str) and row.keys() <= {"name", "search", "defined", *numbers, *flags}
    if not known or not all(isinstance(flag, bool) for flag in flags.values()):
        raise _error(f"{where} with name, default, lower, upper and flags", repr(row)[:80])
    search = _range(row.get("search"), f"{where}.search", open_ended=False)
    defined = _range(row.get("defined"), f"{where}.defined", open_ended=True)
    return Parameter(row["name"], **numbers, **flags, search=search, defined=defined)


def _range(ends: object, where: str, open_ended: bool) -> Range | None:
    if ends is None:
        return None
    if not isinstance(ends, list) or len(ends) != 2:
        raise _error(f"{where} as two numbers", repr(ends)[:80])
    low, high = ends
    return (
        -math.inf if open_ended and low is None else _number(low, where),
        math.inf if open_ended and high is None else _number(high, where),
    )


def dumps(document: Mapping[str, Any]) -> str:
    """A document as text; floats round-trip exactly."""
    return json.dumps({"schema": SCHEMA, **document}, allow_nan=False, ensure_ascii=False)


def loads(text: str) -> dict[str, Any]:
    """A document from text, with its schema checked."""
    if len(text) > LARGEST_DOCUMENT:
        raise _error(f"a document of at most {LARGEST_DOCUMENT} characters", str(len(text)))
    document = parse_json(text, "a JSON document", _HINT)
    if not isinstance(document, dict) or document.get("schema") != SCHEMA:
        found = document.get("schema") if isinstance(document, dict) else type(document).__name__
        raise _error(f"a document with schema {SCHEMA!r}", repr(found)[:80])
    return document
