"""The readable one-line form of expressions and graphs; parsing it gives back the same nodes.

`dense(gamma=2.0 in [0.0, 10.0] tunable): p := softmax(logits, over=class); …; root weighted by w`. Shared and deep
subexpressions are bound to names with `:=`, so that the text stays as small as the graph. Bounds may be followed by
the range in which tuning begins and the values for which the loss is defined:
`in [0.0, 100.0] search [0.0, 10.0] defined [0.0, inf]`.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence

from lossearch.errors import UserError
from lossearch.ir.core.axes import check_axis, check_direction
from lossearch.ir.core.expr import Expr, constant, postorder
from lossearch.ir.core.graph import Graph, Parameter
from lossearch.ir.core.operator import OPERATORS, Attribute, axes_in
from lossearch.ir.core.signature import get_signature
from lossearch.ir.core.types import IllTyped
from lossearch.ir.forms.parser import Parser, Syntax
from lossearch.reading import finite

Fail = Callable[[str], Exception]
"""Makes the error that says what was found."""

DEEPEST_INLINE = 12
MOST_NODES = 12_000
"""Nodes of a loss that is read; those of the zoo have less than a hundred."""

MOST_EXPANDED = 24_000
"""Nodes of a loss that is read, primitives expanded."""

FLAGS = ("tunable", "learnable", "log")


def format_expression(root: Expr) -> str:
    """One expression with its shared subexpressions bound in front."""
    return _format((root,), [""])


Expr.text = format_expression


def format_graph(graph: Graph) -> str:
    """A whole graph on one line."""
    head = graph.signature.name
    if graph.parameters:
        head += f"({', '.join(map(_format_parameter, graph.parameters))})"
    return f"{head}: {_format(graph.roots, ['', ' weighted by '])}"


def _format_parameter(p: Parameter) -> str:
    flags = "".join(f" {flag}" for flag in FLAGS if getattr(p, flag))
    ranges = [(" search", p.search), (" defined", p.defined)]
    more = "".join(f"{word} [{ends[0]!r}, {ends[1]!r}]" for word, ends in ranges if ends is not None)
    return f"{p.name}={p.default!r} in [{p.lower!r}, {p.upper!r}]{more}{flags}"


def _format(roots: Sequence[Expr], joints: Sequence[str]) -> str:
    uses = Counter(argument for node in postorder(roots) for argument in node.args)
    taken = {node.attr("name") for node in postorder(roots) if node.op in ("input", "parameter")}
    names: dict[Expr, str] = {}
    texts: dict[Expr, tuple[str, int, int]] = {}  # text, binding strength, depth
    bindings: list[str] = []
    for node in postorder(roots):
        text, strength = _format_node(node, texts)
        depth = 1 + max((texts[argument][2] for argument in node.args), default=0)
        if node.args and node not in roots and (uses[node] > 1 or depth > DEEPEST_INLINE):
            name = _fresh(len(names), taken)
            names[node] = name
            bindings.append(f"{name} := {text}; ")
            text, strength, depth = name, 9, 0
        texts[node] = text, strength, depth
    ends = [joint + texts[root][0] for joint, root in zip(joints, roots, strict=False)]
    return "".join(bindings) + "".join(ends)


def _fresh(count: int, taken: set[str]) -> str:
    name = f"t{count + 1}"
    return name if name not in taken else _fresh(count + 1000, taken)


def _format_node(node: Expr, texts: Mapping[Expr, tuple[str, int, int]]) -> tuple[str, int]:
    if node.op == "constant":
        value = node.attr("value")
        return (repr(value), 9) if str(value)[0] != "-" else (f"({value!r})", 9)
    if node.op in ("input", "parameter"):
        return node.attr("name"), 9
    operator = OPERATORS[node.op]
    if operator.symbol:
        symbol, strength = operator.symbol
        # Left-grouping operators need brackets on an equally strong right side, ** on its left side.
        left, right = (strength, strength - 1) if node.op == "pow" else (strength - 1, strength)
        return f"{_bracket(node.args[0], left, texts)} {symbol} {_bracket(node.args[1], right, texts)}", strength
    if node.op == "neg":
        inner = _bracket(node.args[0], 3, texts)
        return (f"-({inner})" if inner[0].isdigit() else f"-{inner}"), 3
    parts = [texts[argument][0] for argument in node.args]
    parts += [f"{key}={_format_attribute(value)}" for key, value in node.attrs]
    return f"{node.op}({', '.join(parts)})", 9


def _bracket(node: Expr, binding: int, texts: Mapping[Expr, tuple[str, int, int]]) -> str:
    text, strength, _ = texts[node]
    return f"({text})" if strength <= binding else text


def _format_attribute(value: Attribute) -> str:
    if isinstance(value, tuple):
        parts = [part if isinstance(part, str) else repr(part) for part in value]
        return parts[0] if len(parts) == 1 else f"({', '.join(parts)})"
    if isinstance(value, bool):
        return str(value)
    return value if isinstance(value, str) else repr(value)


def parse_graph(text: str) -> Graph:
    """The graph that `format_graph` wrote; raises `UserError` that names the place."""
    parser = Parser(text, "a loss")
    signature = get_signature(parser.name())
    parameters = tuple(_parse_parameters(parser)) if parser.accept("(") else ()
    parser.expect(":")
    names = {**signature.nodes(), **{p.name: p.node for p in parameters}}
    while parser.kind == "name" and parser.tokens[parser.at + 1][1] == ":=":
        name = parser.take()
        if name in names:
            raise parser.error(f"{name!r} bound twice")
        parser.take()
        names[name] = build(parser.expression(), names, parser)
        parser.expect(";")
    root = build(parser.expression(), names, parser)
    weight = None
    if parser.accept("weighted"):
        parser.expect("by")
        weight = build(parser.expression(), names, parser)
    parser.finish()
    graph = Graph(signature, root, parameters, weight)
    check_size(graph)
    return graph


def check_size(graph: Graph) -> None:
    """Refuse a graph that nobody wrote and that would take minutes to export."""
    for count, limit in ((len(graph.nodes), MOST_NODES), (len(graph.expanded().nodes), MOST_EXPANDED)):
        if count > limit:
            raise UserError(f"a loss of at most {limit} nodes", str(count), "write it shorter")


def _parse_parameters(parser: Parser) -> list[Parameter]:
    found: list[Parameter] = []
    while not parser.accept(")"):
        if found:
            parser.expect(",")
        name = parser.name()
        parser.expect("=")
        default = parser.number()
        parser.expect("in")
        lower, upper = _parse_range(parser)
        search, defined = (_parse_range(parser) if parser.accept(word) else None for word in ("search", "defined"))
        flags = set()
        while parser.kind == "name":
            if parser.token not in FLAGS:
                raise parser.error(f"{parser.token!r} where one of {', '.join(FLAGS)} belongs")
            flags.add(parser.take())
        marks = dict.fromkeys(flags, True)
        found.append(Parameter(name, default, lower, upper, **marks, search=search, defined=defined))
    return found


def _parse_range(parser: Parser) -> tuple[float, float]:
    parser.expect("[")
    lower = _parse_end(parser)
    parser.expect(",")
    upper = _parse_end(parser)
    parser.expect("]")
    return lower, upper


def _parse_end(parser: Parser) -> float:
    """A number or an infinity, with its sign."""
    sign = -1.0 if parser.accept("-") else 1.0
    return sign * (math.inf if parser.accept("inf") else parser.number())


def build(syntax: Syntax, names: Mapping[str, Expr], parser: Parser) -> Expr:
    """Nodes for parsed syntax, names looked up in `names`."""
    if syntax.kind == "number":
        return constant(syntax.number)
    if syntax.kind == "name":
        if syntax.name not in names:
            raise parser.error(f"the unknown name {syntax.name!r} (known: {', '.join(names)})", syntax.place)
        return names[syntax.name]
    args = [build(argument, names, parser) for argument in syntax.args]
    attributes = attributes_of(syntax.name, dict(syntax.attrs), lambda found: parser.error(found, syntax.place))
    try:
        return Expr.make(syntax.name, args, **attributes)
    except IllTyped as error:
        raise IllTyped(f"{error.required} (character {syntax.place + 1})", error.found, error.hint) from None


def check_names(syntax: Syntax, names: Collection[str], parser: Parser) -> None:
    """Refuse operators, attributes, axes and names that do not exist, before anything is built."""
    if syntax.kind == "name" and syntax.name not in names:
        raise parser.error(f"the unknown name {syntax.name!r} (known: {', '.join(sorted(names))})", syntax.place)
    if syntax.kind != "call":
        return
    attributes = attributes_of(syntax.name, dict(syntax.attrs), lambda found: parser.error(found, syntax.place))
    operator = OPERATORS[syntax.name]
    if len(syntax.args) != operator.arity:
        raise parser.error(f"{syntax.name} with {len(syntax.args)} arguments instead of {operator.arity}", syntax.place)
    for key in (*AXIS_LISTS, *WORDS) if operator.expand is None else AXIS_LISTS:
        value = attributes.get(key, ())
        for name in (value,) if isinstance(value, str) else axes_in(value):
            check_direction(name) if key == "along" else check_axis(name)
    for argument in syntax.args:
        check_names(argument, names, parser)


def attributes_of(name: str, given: dict[str, object], error: Fail) -> dict[str, Attribute]:
    """Attributes checked against the operator's declaration and brought to their declared form."""
    operator = OPERATORS.get(name)
    if operator is None or operator.internal or name in ("input", "parameter", "constant"):
        close = difflib.get_close_matches(name, OPERATORS, n=2, cutoff=0.6)
        raise error(f"the unknown operator or primitive {name!r}" + (f" (like {' or '.join(close)}?)" if close else ""))
    declared = dict(operator.attributes)
    if unknown := given.keys() - declared.keys():
        raise error(f"the unknown attribute {min(unknown)!r} of {name}")
    if missing := {key for key, default in declared.items() if default is ...} - given.keys():
        raise error(f"{name} without its attribute {min(missing)!r}")
    return {key: coerce(key, given.get(key, default), default, error) for key, default in declared.items()}


AXIS_LISTS = ("over", "into")
NUMBERS = "values"
WHOLE_NUMBERS = ("index", "size")
WORDS = ("source", "target", "axis", "along")
LARGEST_EXACT = 2**53


def coerce(key: str, value: object, default: object, error: Fail) -> Attribute:
    """One attribute in its declared kind: axis lists, whole numbers, words, otherwise the default's own kind."""
    if key == NUMBERS:
        given = value if isinstance(value, (tuple, list)) else (value,)
        numbers = tuple(number for one in given if (number := finite(one)) is not None)
        if numbers and len(numbers) == len(given):
            return numbers
        raise error(f"{value!r:.80} where {key} takes numbers")
    if key in AXIS_LISTS or isinstance(default, tuple):
        names = (value,) if isinstance(value, str) else value
        if isinstance(names, (tuple, list)) and all(isinstance(item, str) for item in names):
            return tuple(str(item) for item in names)
        raise error(f"{value!r} where {key} takes axes")
    if key in WORDS or isinstance(default, str):
        if isinstance(value, str):
            return value
        raise error(f"{value!r} where {key} takes a name")
    if isinstance(default, bool):
        if value in (True, False, "True", "False"):
            return value in (True, "True")
        raise error(f"{value!r} where {key} takes True or False")
    number = finite(value)
    if number is None:
        raise error(f"{value!r:.80} where {key} takes a number")
    if key in WHOLE_NUMBERS or (isinstance(default, int) and default is not ...):
        if not number.is_integer() or abs(number) > LARGEST_EXACT:
            raise error(f"{value!r:.80} where {key} takes a whole number")
        return int(number)
    return number


def parse_expression(text: str, names: Mapping[str, Expr]) -> Expr:
    """One expression over the given names."""
    parser = Parser(text)
    found = build(parser.expression(), names, parser)
    parser.finish()
    return found
