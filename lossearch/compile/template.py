"""Torch source of single operators: an operator's emitter filled in for its arguments' axes.

A template is made once per operator, attributes and argument axes, whatever the arguments are; whole functions and
the interpreter are both put together from templates.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property, lru_cache
from typing import Any, cast

from lossearch.ir.core.axes import Axes, align
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.operator import OPERATORS, Attributes, Operator, axes_in

COMPARISON, SUM, PRODUCT, UNARY, POWER, ATOM = range(6)
"""Binding strengths of Python expressions."""

_STRENGTHS: dict[type[ast.AST], int] = {
    ast.Compare: COMPARISON,
    ast.Add: SUM,
    ast.Sub: SUM,
    ast.Mult: PRODUCT,
    ast.Div: PRODUCT,
    ast.UnaryOp: UNARY,
    ast.Pow: POWER,
}
_PLACEHOLDER = re.compile(r"\b_ARG(\d)\b")
_LIKE = "_LIKE"


@dataclass(frozen=True)
class Template:
    """Source of one operator with `_ARG0`, `_ARG1` … in place of its arguments.

    Attributes:
        text: The source.
        strength: Binding strength of the whole.
        required: Per argument, the binding strength that it must have to stand without brackets.
        counts: Per argument, how often it occurs.
        number: Whether it yields a Python number; so it does where only arithmetic joins numbers.
        flat: Whether it holds only where `space` is one dimension.
        shape: Whether it uses the spatial shape.
        helper: Source of the helper function that it calls, or nothing.
    """

    text: str
    strength: int
    required: tuple[int, ...]
    counts: tuple[int, ...]
    number: bool
    flat: bool
    shape: bool
    helper: str

    @cached_property
    def parts(self) -> list[str]:
        """The text split at placeholders: source, argument number, source, …"""
        return _PLACEHOLDER.split(self.text)

    def fill(self, sources: Sequence[str], like: str) -> str:
        """The source with arguments in place; `like` names a tensor whose dtype and device numbers take."""
        pieces = list(self.parts)
        pieces[1::2] = [sources[int(position)] for position in pieces[1::2]]
        return "".join(pieces).replace(_LIKE, like)


@dataclass(frozen=True)
class _View:
    """What emitters read of a node, with other axes than the node has."""

    axes: Axes
    args: tuple[_View, ...] = ()
    attrs: Attributes = ()

    def attr(self, name: str) -> Any:
        return dict(self.attrs)[name]


def template(node: Expr, numbers: tuple[bool, ...]) -> Template:
    """The template of a node that is no leaf; `numbers` says which arguments are Python numbers."""
    return _make(node.op, node.attrs, node.type.axes, tuple([a.type.axes for a in node.args]), numbers)


@lru_cache(maxsize=2**16)
def _make(
    op: str, attrs: Attributes, axes: Axes, argument_axes: tuple[Axes, ...], numbers: tuple[bool, ...]
) -> Template:
    operator = OPERATORS[op]
    view = _View(axes, tuple(map(_View, argument_axes)), attrs)
    text = _emit(operator, view, numbers)
    arithmetic = not any(isinstance(part, (ast.Call, ast.Compare)) for part in ast.walk(_parse(text)))
    flat = _holds_only_flat(operator, view, numbers)
    text = text if arithmetic else _tensors_for_numbers(operator, text, numbers)
    tree = _parse(text)
    names = [part.id for part in ast.walk(tree) if isinstance(part, ast.Name)]
    required = dict(_required(tree, ATOM if isinstance(tree, ast.Name) else COMPARISON))
    arguments = [f"_ARG{position}" for position in range(len(numbers))]
    return Template(
        text,
        strength_of(tree),
        tuple(required.get(argument, COMPARISON) for argument in arguments),
        tuple(names.count(argument) for argument in arguments),
        number=op == "size" or (arithmetic and all(numbers)),
        flat=flat or "shape" in names,
        shape="shape" in names,
        helper=operator.helper.source if operator.helper is not None and operator.helper.name in names else "",
    )


def _parse(text: str) -> ast.expr:
    return ast.parse(text, mode="eval").body


def _emit(operator: Operator, view: _View, numbers: Sequence[bool]) -> str:
    sources = [f"_ARG{position}" for position in range(len(view.args))]
    if operator.elementwise:
        aligned = zip(sources, view.args, numbers, strict=True)
        sources = [s if number else align(s, a.axes, view.axes) for s, a, number in aligned]
    if not isinstance(operator.emit, str):
        return operator.emit(sources, cast(Expr, view))
    attributes: dict[str, Any] = dict(view.attrs)
    if "over" in attributes:
        dims = [view.args[0].axes.index(axis) for axis in attributes["over"]]
        attributes["dim"] = dims[0] if len(dims) == 1 else tuple(dims)
        # A tensor method without dimensions reduces all.
        attributes["dims"] = "" if len(dims) == len(view.args[0].axes) else attributes["dim"]
    if "axis" in attributes:
        attributes["axis_dim"] = view.args[0].axes.index(attributes["axis"])
    return operator.emit.format(*sources, shape="shape", **attributes)


def _holds_only_flat(operator: Operator, view: _View, numbers: Sequence[bool]) -> bool:
    """Whether the source is right only where `space` is one dimension: where a second one would change it."""
    axes = {*view.axes, *(axis for argument in view.args for axis in argument.axes)}
    if "space" not in axes:
        return False
    # Along space alone, or by its name, a position is meant that one dimension has.
    if "space'" in axes or any(value in ("space", ("space",)) for _, value in view.attrs):
        return True
    return _emit(operator, _two_dimensional(view), numbers) != _emit(operator, view, numbers)


def _two_dimensional(view: _View) -> _View:
    """The node as it would be with two spatial dimensions; `space'`, next in the layout, serves as the second."""
    attrs = tuple((key, _widen(axes_in(value)) if axes_in(value) else value) for key, value in view.attrs)
    return _View(_widen(view.axes), tuple(_two_dimensional(argument) for argument in view.args), attrs)


def _widen(axes: Axes) -> Axes:
    if "space'" in axes or "space" not in axes:
        return axes
    position = axes.index("space") + 1
    return (*axes[:position], "space'", *axes[position:])


def strength_of(tree: ast.expr) -> int:
    """How strongly a Python expression binds."""
    kind = type(tree.op) if isinstance(tree, ast.BinOp) else type(tree)
    return _STRENGTHS.get(kind, ATOM)


def _required(tree: ast.expr, needed: int) -> Iterator[tuple[str, int]]:
    """For each placeholder, the binding strength below which its argument needs brackets."""
    if isinstance(tree, ast.Name):
        yield tree.id, needed
    elif isinstance(tree, ast.BinOp):
        strength = strength_of(tree)
        right = UNARY if strength == POWER else strength + 1
        yield from _required(tree.left, ATOM if strength == POWER else strength)
        yield from _required(tree.right, right)
    elif isinstance(tree, ast.UnaryOp):
        yield from _required(tree.operand, POWER)
    elif isinstance(tree, ast.Compare):
        for side in (tree.left, *tree.comparators):
            yield from _required(side, SUM)
    else:
        atoms = (ast.Attribute, ast.Subscript)
        for child in ast.iter_child_nodes(tree):
            if isinstance(child, ast.expr):
                held = isinstance(tree, atoms) and child is tree.value
                yield from _required(child, ATOM if held else COMPARISON)
            elif isinstance(child, ast.keyword):
                yield from _required(child.value, COMPARISON)


def _tensors_for_numbers(operator: Operator, text: str, numbers: Sequence[bool]) -> str:
    """Make tensors of numbers where a function or a comparison, unlike arithmetic, does not do with numbers."""
    positions = [position for position, number in enumerate(numbers) if number]
    if len(positions) == 1 and operator.emit_number:
        return operator.emit_number.format(f"_ARG{1 - positions[0]}", f"_ARG{positions[0]}")
    if operator.condition or isinstance(_parse(text), ast.Compare):
        # One operand that is a tensor settles the dtype.
        operands = range(int(operator.condition), len(numbers))
        positions = [operands[0]] if set(operands) <= set(positions) else []
    for position in positions:
        text = text.replace(f"_ARG{position}", f"{_LIKE}.new_full((), _ARG{position})")
    return text
