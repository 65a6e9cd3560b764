"""Patterns as code: the left side of a rule becomes a function that finds every way to match it, written out.

`log(softmax(x, over=a))` becomes

    def match(n0):
        (n1,) = n0.args
        if n1.op == 'softmax':
            v2 = n1.attr('over')
            (n3,) = n1.args
            yield {'a': v2, 'x': n3}

and its right side a function that makes nodes from what was bound.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any

from lossearch.ir.core.expr import Expr, constant
from lossearch.ir.core.operator import OPERATORS
from lossearch.ir.forms.parser import Syntax

Bindings = Mapping[str, Any]
Match = Callable[[Expr], Iterator[Bindings]]
Build = Callable[[Bindings], Expr]


def matcher(pattern: Syntax) -> Match:
    """A function from a node of the pattern's operator to every way to match, both orders of commutative arguments."""
    return _Pattern(pattern).function()


def builder(result: Syntax) -> Build:
    """A function from what names and attributes stand for to the node that `result` describes."""
    constants: dict[str, object] = {"make": Expr.make}
    text = f"def build(bound):\n    return {_construction(result, constants)}\n"
    return _defined(text, constants, "build")


def constant_only(name: str) -> bool:
    """Whether a name stands for constants only."""
    return name in ("c", "d") or name.endswith("_c")


def operator_of(pattern: Syntax) -> str:
    """The operator that a node must have to match, or "" where any will do."""
    if pattern.kind == "call":
        return pattern.name
    return "constant" if pattern.kind == "number" or constant_only(pattern.name) else ""


class _Pattern:
    """The lines of one match function, indented as deep as its conditions."""

    def __init__(self, pattern: Syntax) -> None:
        self.lines = ["def match(n0):"]
        self.depth = 1
        self.made = 0
        self.bound: dict[str, str] = {}
        self.constants: dict[str, object] = {}
        self._match(pattern, "n0")
        self._line("yield {" + ", ".join(f"{name!r}: {variable}" for name, variable in self.bound.items()) + "}")

    def function(self) -> Match:
        """The function itself."""
        return _defined("\n".join(self.lines) + "\n", self.constants, "match")

    def _match(self, pattern: Syntax, node: str) -> None:
        """Conditions that the node in a variable matches, its operator aside."""
        if pattern.kind == "number":
            self._condition(f"{node} is {_held(constant(pattern.number), self.constants)}")
        elif pattern.kind == "name":
            self._bind(pattern.name, node, "is")
        else:
            for key, value in pattern.attrs:
                self._match_attribute(f"{node}.attr({key!r})", key, value)
            children = [self._fresh("n") for _ in pattern.args]
            names = "".join(f"{child}, " for child in children)
            if OPERATORS[pattern.name].commutative:
                self._condition(f"for {names[:-2]} in ({node}.args, {node}.args[::-1])", word="")
            else:
                self._line(f"({names}) = {node}.args")
            for argument, child in zip(pattern.args, children, strict=True):
                if operator_of(argument):
                    self._condition(f"{child}.op == {operator_of(argument)!r}")
            for argument, child in zip(pattern.args, children, strict=True):
                self._match(argument, child)

    def _match_attribute(self, found: str, key: str, value: object) -> None:
        if isinstance(value, str) and len(value) == 1:
            variable = self._fresh("v")
            self._line(f"{variable} = {found}")
            self._bind(value, variable, "==")
        else:
            wanted = (value,) if isinstance(value, str) and key == "over" else value
            self._condition(f"{found} == {_held(wanted, self.constants)}")

    def _bind(self, name: str, variable: str, same: str) -> None:
        known = self.bound.setdefault(name, variable)
        if known != variable:
            self._condition(f"{known} {same} {variable}")

    def _condition(self, text: str, word: str = "if ") -> None:
        self._line(f"{word}{text}:")
        self.depth += 1

    def _line(self, text: str) -> None:
        self.lines.append("    " * self.depth + text)

    def _fresh(self, letter: str) -> str:
        self.made += 1
        return f"{letter}{self.made}"


def _construction(result: Syntax, constants: dict[str, object]) -> str:
    if result.kind == "number":
        return _held(constant(result.number), constants)
    if result.kind == "name":
        return f"bound[{result.name!r}]"
    args = "".join(f"{_construction(argument, constants)}, " for argument in result.args)
    attributes = "".join(f", {key}={_attribute(value, constants)}" for key, value in result.attrs)
    return f"make({result.name!r}, ({args}){attributes})"


def _attribute(value: object, constants: dict[str, object]) -> str:
    return f"bound[{value!r}]" if isinstance(value, str) and len(value) == 1 else _held(value, constants)


def _held(value: object, constants: dict[str, object]) -> str:
    """The name under which the generated code finds a value."""
    name = f"k{len(constants)}"
    constants[name] = value
    return name


def _defined(text: str, constants: dict[str, object], name: str) -> Any:
    namespace = dict(constants)
    exec(compile(text, f"<rule {name}>", "exec"), namespace)
    return namespace[name]
