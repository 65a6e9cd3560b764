"""Formulas in LaTeX, from each operator's own template."""

from __future__ import annotations

from collections.abc import Sequence

from lossearch.ir.expr import Expr, postorder
from lossearch.ir.graph import Graph
from lossearch.ir.operator import OPERATORS

GREEK = frozenset(
    "alpha beta gamma delta epsilon zeta eta theta iota kappa lambda mu nu xi pi rho sigma tau phi chi psi omega".split()
)
SYMBOLS = {"logits": "z", "target": "t", "class_weight": "w", "mask": "m"}
_ATOM, _PREFIX = 9, 3


def format_graph(graph: Graph) -> str:
    """The formula of a graph; a weighted one as a weighted root."""
    root = format_expression(graph.root)
    if graph.weight is None:
        return root
    return f"{root} \\quad \\text{{weighted by }} {format_expression(graph.weight)}"


def format_expression(root: Expr) -> str:
    """The formula of one expression."""
    done: dict[Expr, tuple[str, int]] = {}
    for node in postorder((root,)):
        done[node] = _format(node, [done[argument] for argument in node.args])
    return done[root][0]


def symbol(name: str) -> str:
    """A variable's LaTeX symbol: Greek letters by name, words upright, a trailing number as subscript."""
    stem = name.rstrip("0123456789")
    number = name[len(stem) :].lstrip("_")
    stem = stem.rstrip("_") or name
    base = SYMBOLS.get(stem) or (f"\\{stem}" if stem in GREEK else stem)
    if len(base) > 1 and base[0] != "\\":
        base = f"\\mathrm{{{base.replace('_', chr(92) + '_')}}}"
    return f"{base}_{{{number}}}" if number else base


def number(value: float) -> str:
    """A number to four significant digits, without a trailing `.0`."""
    text = f"{value:.4g}"
    if "e" in text:
        mantissa, exponent = text.split("e")
        return f"{mantissa}\\cdot 10^{{{int(exponent)}}}"
    return text


def _format(node: Expr, arguments: Sequence[tuple[str, int]]) -> tuple[str, int]:
    if node.op == "constant":
        value = node.attr("value")
        return number(value), _ATOM if value >= 0 else 1
    if node.op in ("input", "parameter"):
        return symbol(node.attr("name")), _ATOM
    operator = OPERATORS[node.op]
    texts = [text for text, _ in arguments]
    if operator.expand is not None:
        return _call(node, texts), _ATOM
    if operator.symbol and node.op != "div":
        strength = operator.symbol[1]
        left = _bracket(arguments[0], strength - (node.op != "pow"))
        right = texts[1] if node.op == "pow" else _bracket(arguments[1], strength - (node.op in ("add", "mul")))
        return operator.latex.format(left, right), strength
    if node.op == "neg":
        return f"-{_bracket(arguments[0], 1)}", 1
    attributes = {key: _attribute(value) for key, value in node.attrs}
    if node.op in ("log", "square"):
        texts = [_bracket(arguments[0], 8)]
    elif node.op in ("sum", "mean", "max", "min", "logsumexp", "softmax", "log_softmax", "sort", "cumsum"):
        texts = [_bracket(arguments[0], 1 if node.op == "sum" else 4)]
        return operator.latex.format(*texts, **attributes), 2
    return operator.latex.format(*texts, **attributes), _ATOM if node.op != "log" else _PREFIX


def _bracket(argument: tuple[str, int], binding: int) -> str:
    text, strength = argument
    return f"\\left({text}\\right)" if strength <= binding else text


def _attribute(value: object) -> str:
    if isinstance(value, tuple):
        return ", ".join(map(str, value))
    return number(value) if isinstance(value, float) else str(value)


def _call(node: Expr, texts: Sequence[str]) -> str:
    name = node.op.replace("_", "\\_")
    return f"\\operatorname{{{name}}}\\left({', '.join(texts)}\\right)"
