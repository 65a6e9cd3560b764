"""Formulas in LaTeX, from each operator's own template.

Shared and large subexpressions are named on lines of their own, `t_1 = …`, so that a formula stays as small as its
graph. Brackets follow from where a template puts its arguments: as a base, as an operand, or enclosed.
"""

from __future__ import annotations

import itertools
import re
from collections import Counter
from collections.abc import Collection, Iterator, Sequence
from functools import lru_cache
from typing import Literal, NamedTuple

from lossearch.ir.core.expr import Expr, postorder
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.operator import OPERATORS, Attribute, Operator
from lossearch.ir.core.primitive import parameter_names

GREEK = frozenset({
    "alpha", "beta", "gamma", "delta", "epsilon", "zeta", "eta", "theta", "iota", "kappa", "lambda", "mu", "nu",
    "xi", "pi", "rho", "sigma", "tau", "phi", "chi", "psi", "omega",
})  # fmt: skip
SYMBOLS = {"logits": "z", "target": "y", "class_weight": "w", "mask": "m"}
WIDEST_INLINE = 48
"""Characters, roughly, that a subexpression within a line may take; a wider one gets a line of its own."""
WIDEST_REPEATED = 8
"""Characters up to which an elementwise subexpression is repeated rather than named."""

LOOSE, SUM, PRODUCT, POWER, TALL, CLOSED = 0, 1, 2, 4, 5, 8
"""How strongly a text holds together; `CLOSED` needs brackets nowhere."""

Context = Literal["enclosed", "operand", "base", "indexed", "bracketed"]


class Equation(NamedTuple):
    """One line: a name and what it stands for."""

    name: str
    formula: str

    def __str__(self) -> str:
        return f"{self.name} = {self.formula}"


class Piece(NamedTuple):
    """The text of a subexpression.

    Attributes:
        text: LaTeX.
        strength: How strongly it holds together.
        width: Characters on the page, roughly.
        open: Whether its end would take in what follows, as a sum's does.
    """

    text: str
    strength: int
    width: int
    open: bool = False


def format_graph(graph: Graph) -> str:
    """The formula of a graph for display mode; of several lines, the last one is the loss."""
    lines = equations(graph)
    if len(lines) == 1:
        return lines[0].formula
    body = " \\\\\n".join(f"{line.name} &= {line.formula}" for line in lines)
    return f"\\begin{{split}}\n{body}\n\\end{{split}}"


def equations(graph: Graph) -> list[Equation]:
    """Named subexpressions, the loss `\\ell`, and the weight of its elements where it has one."""
    names = ("\\ell", "\\text{weight}")[: len(graph.roots)]
    leaves = (node for node in postorder(graph.roots) if node.op in ("input", "parameter"))
    return list(_equations(graph.roots, names, _fresh("t", {symbol(leaf.attr("name")) for leaf in leaves})))


def definitions(graph: Graph) -> list[Equation]:
    """What each primitive in the graph, or in another one's definition, stands for, in order of first use."""
    waiting, done, lines = _calls(graph.roots), set[str](), list[Equation]()
    fresh = _fresh("u", set())
    while waiting:
        head, body = _definition(waiting.pop(0))
        if head not in done:
            done.add(head)
            lines += _equations((body,), (head,), fresh)
            waiting += _calls((body,))
    return lines


def format_expression(root: Expr) -> str:
    """The formula of one expression on one line, with nothing named."""
    pieces: dict[Expr, Piece] = {}
    for node in postorder((root,)):
        pieces[node] = _format(node, [pieces[argument] for argument in node.args])
    return pieces[root].text


def symbol(name: str) -> str:
    """A variable's LaTeX symbol: Greek letters by name, words upright, a trailing number as subscript."""
    stem = name.rstrip("0123456789")
    number = name[len(stem) :].lstrip("_")
    stem = stem.rstrip("_") or name
    base = SYMBOLS.get(stem) or (f"\\{stem}" if stem in GREEK else stem)
    if len(base) > 1 and base[0] != "\\":
        base = _words(base)
    return f"{base}_{{{number}}}" if number else base


def number(value: float) -> str:
    """A number to four significant digits, without a trailing `.0`."""
    text = f"{value:.4g}"
    if "e" not in text:
        return text
    mantissa, exponent = text.split("e")
    power = f"10^{{{int(exponent)}}}"
    return {"1": power, "-1": f"-{power}"}.get(mantissa, f"{mantissa} \\cdot {power}")


def _fresh(letter: str, taken: Collection[str]) -> Iterator[str]:
    return (name for count in itertools.count(1) if (name := f"{letter}_{{{count}}}") not in taken)


def _equations(roots: Sequence[Expr], names: Sequence[str], fresh: Iterator[str]) -> Iterator[Equation]:
    uses = Counter(argument for node in postorder(roots) for argument in node.args)
    whole = set(_outermost(roots))
    pieces: dict[Expr, Piece] = {}
    for node in postorder(roots):
        piece = _format(node, [pieces[argument] for argument in node.args])
        fits = piece.width <= WIDEST_INLINE or node in whole
        if node.args and node not in roots and (not fits or (uses[node] > 1 and not _is_short(node, piece))):
            name = next(fresh)
            yield Equation(name, piece.text)
            piece = Piece(name, CLOSED, 2)
        pieces[node] = piece
    for name, root in zip(names, roots, strict=True):
        yield Equation(name, pieces[root].text)


def _outermost(roots: Sequence[Expr]) -> Iterator[Expr]:
    """The roots, and below a minus in front of all its argument: naming that would say nothing."""
    for root in roots:
        yield root
        if root.op == "neg":
            yield root.args[0]


def _is_short(node: Expr, piece: Piece) -> bool:
    return piece.width <= WIDEST_REPEATED and OPERATORS[node.op].elementwise


def _calls(roots: Sequence[Expr]) -> list[Expr]:
    return [node for node in postorder(roots) if OPERATORS[node.op].expand is not None]


def _definition(call: Expr) -> tuple[str, Expr]:
    """A primitive's call on its own parameter names, and its body over them."""
    expand = OPERATORS[call.op].expand
    assert expand is not None
    operands: list[Expr] = []
    for name, argument in zip(parameter_names(call.op), call.args, strict=True):
        type = argument.type
        kind, simplex = type.kind, type.simplex or ""
        leaf = {"name": name, "axes": type.axes, "lower": type.interval.lower, "upper": type.interval.upper}
        operands.append(Expr.make("input", **leaf, kind=kind, simplex=simplex))
    head = _call(call.with_args(operands), [_leaf(name) for name in parameter_names(call.op)])
    return head.text, expand(*operands, **dict(call.attrs))


def _format(node: Expr, arguments: Sequence[Piece]) -> Piece:
    if node.op == "constant":
        text = number(node.attr("value"))
        return Piece(text, SUM if text[0] == "-" else PRODUCT if "10^" in text else CLOSED, min(len(text), 6))
    if node.op in ("input", "parameter"):
        return _leaf(node.attr("name"))
    operator = OPERATORS[node.op]
    if operator.expand is not None:
        return _call(node, arguments)
    width = min(len(operator.name), 8) + sum(argument.width for argument in arguments)
    if operator.latex.startswith("{0} ") and operator.symbol:
        return _infix(operator, *arguments)._replace(width=width)
    contexts, strength = _layout(operator)
    texts = [_place(argument, context) for argument, context in zip(arguments, contexts, strict=True)]
    text = operator.latex.format(*texts, **{key: _attribute(value) for key, value in node.attrs})
    negated_open = operator.latex == "-{0}" and texts[0] == arguments[0].text and arguments[0].open
    return Piece(text, strength, width, negated_open or operator.latex.startswith("\\sum"))


def _leaf(name: str) -> Piece:
    text = symbol(name)
    return Piece(text, CLOSED, len(name) if text.startswith("\\text") else 2)


def _infix(operator: Operator, left: Piece, right: Piece) -> Piece:
    """Left-grouping; a right side that begins with a minus, or could be read into the left one, is set apart."""
    assert operator.symbol is not None
    strength = operator.symbol[1]
    first = f"\\left({left.text}\\right)" if left.open or left.strength < strength else left.text
    # a + (b + c) and a (b c) need no brackets, a - (b + c) does.
    loose = right.strength < strength + (not operator.commutative)
    bracketed = loose or right.text.startswith("-")
    second = f"\\left({right.text}\\right)" if bracketed else right.text
    text = operator.latex.format(first, second)
    if second[0].isdigit() or second.startswith("\\left("):
        text = text.replace(f" \\, {second}", f" \\cdot {second}")
    return Piece(text, strength, 0, right.open and not bracketed)


def _place(piece: Piece, context: Context) -> str:
    loosest = {"enclosed": LOOSE, "operand": PRODUCT, "base": CLOSED, "indexed": CLOSED, "bracketed": CLOSED + 1}[
        context
    ]
    bare = piece.strength >= loosest and not (context == "operand" and piece.text.startswith("-"))
    text = piece.text if bare else f"\\left({piece.text}\\right)"
    return f"{{{text}}}" if context == "indexed" else text  # TeX refuses a second index on x_1 without


@lru_cache(maxsize=1024)
def _layout(operator: Operator) -> tuple[tuple[Context, ...], int]:
    """Where a template puts each argument, and how strongly the whole holds together."""
    marks = [chr(0xE000 + position) for position in range(operator.arity)]
    text = operator.latex.format(*marks, **{key: "a" for key, _ in operator.attributes})
    contexts: list[Context] = [_context(text, mark, operator.arity) for mark in marks]
    return tuple(contexts), _strength(text, marks[0])


def _context(text: str, mark: str, arity: int) -> Context:
    before, _, after = (part.strip() for part in text.partition(mark))
    braced = before.endswith("{") and after.startswith("}")
    if after[braced:].startswith(("^", "_")):
        return "base" if braced else "indexed"
    if braced:
        return "enclosed"
    if before.endswith(("+", "-")) or text.startswith("\\sum"):
        return "operand"
    return "bracketed" if arity == 1 and not after else "enclosed"


def _strength(text: str, first: str) -> int:
    if text.startswith(("\\begin", f"{first} ")):
        return LOOSE
    if text.startswith("-"):
        return SUM
    if text.startswith("\\sum"):
        return PRODUCT
    if text.startswith(f"{{{first}}}^"):
        return POWER
    return CLOSED if text.startswith(("(", "\\left|")) and text.endswith((")", "|")) else TALL


def _call(node: Expr, arguments: Sequence[Piece]) -> Piece:
    """A primitive's name, its axes as a subscript, and its arguments and other attributes in brackets."""
    attributes = dict(node.attrs)
    axes = [value for value in attributes.values() if isinstance(value, tuple)]
    subscript = f"_{{\\text{{{'; '.join(map(_attribute, axes))}}}}}" if axes else ""
    others = [f"{_words(key)} = {_scalar(value)}" for key, value in node.attrs if not isinstance(value, tuple)]
    inside = ", ".join([piece.text for piece in arguments] + others)
    width = len(node.op) + len(inside) - sum(len(piece.text) - piece.width for piece in arguments)
    return Piece(f"{_words(node.op)}{subscript}\\left({inside}\\right)", TALL, width)


def _words(name: str) -> str:
    """Upright text; what is no letter or digit may mean something to LaTeX, and becomes a hyphen."""
    hyphenated = re.sub(r"[\W_]", "-", name)
    return f"\\text{{{hyphenated}}}"


def _attribute(value: Attribute) -> str:
    if isinstance(value, tuple):
        return ", ".join(part if isinstance(part, str) else number(part) for part in value)
    return number(value) if isinstance(value, float) else str(value)


def _scalar(value: Attribute) -> str:
    return _words(str(value)) if isinstance(value, (str, bool)) else _attribute(value)
