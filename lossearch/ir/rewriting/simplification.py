"""Simplification: identities that hold for every argument, and constant folding."""

from __future__ import annotations

import math
from collections.abc import Mapping
from functools import cache
from typing import Any

from lossearch.ir.core.expr import Expr, constant
from lossearch.ir.core.interval import Interval
from lossearch.ir.core.operator import OPERATORS, guard_interval
from lossearch.ir.rewriting.rule import EachOperator, Rule, Table


def _number(node: Expr) -> float:
    return node.attr("value")


def _folded(name: str, *values: float, **attributes: Any) -> Expr | None:
    """The constant, unless the operator is undefined or guarded there, or overflows."""
    function = OPERATORS[name].value
    assert function is not None
    intervals = [Interval(value, value) for value in values]
    if any(guard_interval(d, i) != i for d, i in zip(OPERATORS[name].domains(*intervals), intervals, strict=False)):
        return None
    try:
        result = function(*values, **attributes)
    except (ValueError, OverflowError, ZeroDivisionError):
        return None
    return constant(result) if isinstance(result, float) and math.isfinite(result) else None


@cache
def _fold(name: str) -> Rule | None:
    """Every elementwise operator of constants is a constant; one row per operator, from its own `value`."""
    operator = OPERATORS[name]
    if not operator.elementwise or operator.value is None:
        return None
    names = ["c", "d", "e_c"][: operator.arity]
    attributes = [key for key, _ in operator.attributes]
    given = "".join(f", {key}={letter}" for key, letter in zip(attributes, "lu", strict=False))

    def build(found: Mapping[str, Any]) -> Expr | None:
        values = dict(zip(attributes, (found.get(letter) for letter in "lu"), strict=False))
        return _folded(name, *(_number(found[key]) for key in names), **values)

    return Rule(f"{name}({', '.join(names)}{given}) = value", build=build)


FOLDING: list[Rule | EachOperator] = [EachOperator(_fold)]

SIGNS = [
    Rule("x + 0 = x"),
    Rule("x - 0 = x"),
    Rule("0 - x = -x"),
    Rule("x * 1 = x"),
    Rule("x / 1 = x"),
    Rule("x * 0 = 0"),
    Rule("x * (-1) = -x"),
    Rule("neg(neg(x)) = x"),
    Rule("x - x = 0"),
    Rule("x + neg(y) = x - y"),
    Rule("x - neg(y) = x + y"),
    Rule("neg(x - y) = y - x"),
    Rule("neg(x) * y = neg(x * y)"),
    Rule("neg(x) / y = neg(x / y)"),
    Rule("x / neg(y) = neg(x / y)"),
    Rule("neg(x * c) = x * negated", build=lambda b: b["x"] * -_number(b["c"])),
]

NEGATIVES = [
    Rule("sum(neg(x), over=a) = neg(sum(x, over=a))"),
    Rule("mean(neg(x), over=a) = neg(mean(x, over=a))"),
    Rule("contract(neg(x), y, over=a) = neg(contract(x, y, over=a))"),
    Rule("abs(neg(x)) = abs(x)"),
    Rule("square(neg(x)) = square(x)"),
    Rule("square(abs(x)) = square(x)"),
]

CONSTANTS = [
    Rule("x + c + d = x + sum", build=lambda b: b["x"] + (_number(b["c"]) + _number(b["d"]))),
    Rule("x + c - d = x + difference", build=lambda b: b["x"] + (_number(b["c"]) - _number(b["d"]))),
    Rule("x - c + d = x + difference", build=lambda b: b["x"] + (_number(b["d"]) - _number(b["c"]))),
    Rule("c - (x + d) = difference - x", build=lambda b: _number(b["c"]) - _number(b["d"]) - b["x"]),
    Rule("c - (d - x) = x + difference", build=lambda b: b["x"] + (_number(b["c"]) - _number(b["d"]))),
    Rule("c - x + d = sum - x", build=lambda b: _number(b["c"]) + _number(b["d"]) - b["x"]),
    Rule("c - x - d = difference - x", build=lambda b: _number(b["c"]) - _number(b["d"]) - b["x"]),
    Rule("x * c * d = x * product", build=lambda b: b["x"] * (_number(b["c"]) * _number(b["d"]))),
    Rule("x * c / d = x * quotient", build=lambda b: b["x"] * (_number(b["c"]) / _number(b["d"]))),
]

POWERS = [
    Rule("x ** 1 = x"),
    Rule("x ** 0 = 1"),
    Rule("x ** 2 = square(x)"),
    Rule("x * x = square(x)"),
    Rule("square(sqrt(x)) = x"),
    Rule("sqrt(square(x)) = abs(x)"),
    Rule("log(exp(x)) = x"),
    Rule("exp(log(x)) = x"),
]


def _decided(bindings: Mapping[str, Any]) -> Expr | None:
    """A choice by a number that a condition chose is one by that condition."""
    first, second = (_number(bindings[name]) > _number(bindings["e_c"]) for name in "cd")
    x, y = bindings["x"], bindings["y"]
    return None if first == second else Expr.make("where", (bindings["q"], *((x, y) if first else (y, x))))


BOUNDS = [
    Rule("abs(x) = x", when=lambda b: b["x"].lower >= 0.0),
    Rule("abs(x) = neg(x)", when=lambda b: b["x"].upper <= 0.0),
    Rule("relu(x) = x", when=lambda b: b["x"].lower >= 0.0),
    Rule("clamp_min(x, lower=l) = x", when=lambda b: b["x"].lower >= b["l"]),
    Rule("clamp_max(x, upper=u) = x", when=lambda b: b["x"].upper <= b["u"]),
    Rule("clamp(x, lower=l, upper=u) = x", when=lambda b: b["l"] <= b["x"].lower and b["x"].upper <= b["u"]),
    Rule("maximum(x, y) = x", when=lambda b: b["x"] is b["y"] or b["x"].lower > b["y"].upper),
    Rule("minimum(x, y) = x", when=lambda b: b["x"] is b["y"] or b["x"].upper < b["y"].lower),
    Rule("maximum(y, x) = x", when=lambda b: b["x"].lower > b["y"].upper),
    Rule("minimum(y, x) = x", when=lambda b: b["x"].upper < b["y"].lower),
    Rule("stop_gradient(stop_gradient(x)) = stop_gradient(x)"),
    Rule("where(q, x, x) = x"),
    Rule("where(greater(where(q, c, d), e_c), x, y) = either", build=_decided),
]

REDUCTIONS = [
    Rule(f"{name}({name}(x, over=a), over=b) = {name} over both", build=lambda b, name=name: _merged(name, b))
    for name in ("sum", "mean", "max", "min", "logsumexp")
]


def _merged(name: str, bindings: Mapping[str, Any]) -> Expr:
    x, inner, outer = bindings["x"], bindings["a"], bindings["b"]
    return Expr.make(name, (x,), over=tuple(axis for axis in x.axes if axis in (*inner, *outer)))


SIMPLIFICATION = Table("simplification", FOLDING + SIGNS + NEGATIVES + CONSTANTS + POWERS + BOUNDS + REDUCTIONS)


def _in_order(bindings: Mapping[str, Any], name: str) -> Expr | None:
    first, second = bindings["x"], bindings["y"]
    swap = (second.is_constant, second.digest) < (first.is_constant, first.digest)
    return Expr.make(name, (second, first)) if swap else None


CANONICAL = SIMPLIFICATION + Table(
    "order",
    [
        Rule(f"{name}(x, y) = {name}(y, x)", build=lambda b, name=name: _in_order(b, name))
        for name in ("add", "mul", "minimum", "maximum")
    ],
)
"""Simplification with commutative arguments in key order: equal up to exchange means equal key."""
