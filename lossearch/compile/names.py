"""Names of variables in emitted source."""

from __future__ import annotations

import builtins
import keyword
from collections.abc import Iterable, Mapping
from functools import cache

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.operator import OPERATORS

RESERVED = frozenset({*keyword.kwlist, *dir(builtins), "torch", "F", "math", "nn", "Tensor", "List", "shape", "self"})

NOUNS = {
    "abs": "magnitude",
    "add": "total",
    "add_at": "changed",
    "contract": "inner_product",
    "div": "ratio",
    "exp": "exponential",
    "gaussian_window": "blurred",
    "greater": "above",
    "in_order": "ordered",
    "less": "below",
    "log": "logarithm",
    "log_softmax": "log_probability",
    "max": "largest",
    "mean": "average",
    "min": "smallest",
    "mul": "product",
    "neg": "negative",
    "ordered": "order",
    "pow": "power",
    "scatter_sum": "label_sums",
    "sigmoid": "probability",
    "softmax": "probability",
    "sort": "ordered",
    "sort_by": "ordered",
    "step": "increase",
    "sub": "gap",
    "sum": "total",
    "where": "chosen",
}
"""What a result is called, where the operator's own name reads badly as a variable."""

QUALIFIERS = {
    "gather": "true",
    "stop_gradient": "fixed",
    "clamp": "bounded",
    "clamp_min": "bounded",
    "clamp_max": "bounded",
}
"""Operators that keep what their argument is called and qualify it."""

SAME = frozenset({"merge", "rename"})
"""Operators that give other names to axes, and none to the value."""

ENTRIES = {"coord": ("x1", "y1", "x2", "y2")}
"""What the entries of an axis are called."""

LONGEST_QUALIFIED = 12
"""Longest name of an input that a qualifier is put in front of."""


@cache
def _helpers() -> frozenset[str]:
    """Names of the functions that emitted source may call."""
    return frozenset(operator.helper.name for operator in OPERATORS.values() if operator.helper is not None)


def safe(name: str) -> str:
    """An identifier that hides nothing: `lambda` becomes `lambda_`."""
    return f"{name}_" if name in RESERVED or name in _helpers() else name


class Names:
    """Hands out distinct variable names for one function."""

    def __init__(self, taken: Iterable[str], nouns: Mapping[Expr, str] | None = None) -> None:
        self._taken = set(taken)
        self._nouns = nouns or {}

    def fresh(self, node: Expr, noun: str = "") -> str:
        """A new name for the value of `node`, or a given one, with a number from the second of its kind on."""
        noun = noun or self._nouns.get(node) or self._noun(node)
        name, count = safe(noun), 2
        while name in self._taken:
            name, count = f"{noun}_{count}", count + 1
        self._taken.add(name)
        return name

    def _noun(self, node: Expr) -> str:
        if node.op == "sum" and node.args[0].op == "mul" and node.attr("over") == ("class",):
            first, second = node.args[0].args
            if first.op == "input" and first.attr("name") == "target" and second.args:
                return f"true_{self._noun(second)}"
        if node.op == "exp" and node.args[0].op == "log_softmax":
            return NOUNS["softmax"]
        if node.op == "select" and node.args[0].op == "input":
            return f"{node.args[0].attr('name')}_{node.attr('index')}"
        if node.op in SAME:
            inner = node.args[0]
            return self._noun(inner) if inner.args or inner.op != "input" else inner.attr("name")
        qualifier = QUALIFIERS.get(node.op)
        if qualifier is None:
            return NOUNS.get(node.op, node.op)
        inner = node.args[0]
        while inner.op in QUALIFIERS:
            inner = inner.args[0]
        if not inner.args:
            short = inner.op == "input" and len(inner.attr("name")) <= LONGEST_QUALIFIED
            return f"{qualifier}_{inner.attr('name')}" if short else qualifier
        return f"{qualifier}_{self._noun(inner)}"
