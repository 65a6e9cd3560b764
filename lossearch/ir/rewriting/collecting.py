"""Collecting: like terms are taken together, so that a loss that a search found reads as one would write it by hand.

`COLLECTING` holds for every input. `ON_LABELS` has rules for one-hot targets: they match `one_hot` only, which a graph
has in place of its target where the loss is known to be used with labels, and so never change a loss of soft targets.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.operator import OPERATORS
from lossearch.ir.rewriting.linear import linear, order, written
from lossearch.ir.rewriting.rule import Rule, Table
from lossearch.ir.rewriting.simplification import BOUNDS, FOLDING, NEGATIVES, POWERS, REDUCTIONS
from lossearch.ir.rewriting.speed import LINEAR, ONE_HOT

Found = Mapping[str, Any]


def _collected(name: str, letters: str) -> Callable[[Found], Expr]:
    return lambda b: written(linear(Expr.make(name, [b[letter] for letter in letters])))


SUMS = [
    Rule("x + y = each term once", build=_collected("add", "xy")),
    Rule("x - y = each term once", build=_collected("sub", "xy")),
    Rule("neg(x) = each term once", build=_collected("neg", "x")),
    Rule("x * y = one number times one product", build=_collected("mul", "xy")),
    Rule("x / y = one number times one quotient", build=_collected("div", "xy")),
]


def _outside(name: str) -> Callable[[Found], bool]:
    """The node bound to `name` has none of the axes over which is reduced, and the other one has all."""
    return lambda b: not set(b[name].axes) & set(b["a"]) and set(b["a"]) <= set(b["x"].axes)


def _outside_distribution(b: Found) -> bool:
    return b["a"] == (b["p"].type.simplex,) and _outside("y")(b)


SHIFTS = [
    *(
        Rule(f"{name}({left}, over=a) = {right}", when=_outside("y"))
        for name in ("mean", "max", "min", "logsumexp")
        for left, right in (
            ("x + y", f"{name}(x, over=a) + y"),
            ("x - y", f"{name}(x, over=a) - y"),
        )
    ),
    Rule("mean(y - x, over=a) = y - mean(x, over=a)", when=_outside("y")),
    *(
        Rule(f"{name}({left}, over=a) = {name}(x, over=a)", when=_outside("y"))
        for name in ("softmax", "log_softmax")
        for left in ("x + y", "x - y")
    ),
    Rule("contract(p, x + y, over=a) = contract(p, x, over=a) + y", when=_outside_distribution),
    Rule("contract(p, x - y, over=a) = contract(p, x, over=a) - y", when=_outside_distribution),
    Rule("contract(p, y - x, over=a) = y - contract(p, x, over=a)", when=_outside_distribution),
]


def _both_have(b: Found) -> bool:
    return all(set(b["a"]) <= set(b[name].axes) for name in "xy")


INNER = [
    Rule("sum(x * y, over=a) = contract(x, y, over=a)", when=_both_have),
    Rule("log(softmax(x, over=a)) = log_softmax(x, over=a)"),
    Rule("exp(log_softmax(x, over=a)) = softmax(x, over=a)"),
]


def _in_order(b: Found, name: str) -> Expr | None:
    over = {"over": b["a"]} if "a" in b else {}
    return Expr.make(name, (b["y"], b["x"]), **over) if order(b["y"]) < order(b["x"]) else None


ORDER = [
    Rule("contract(x, y, over=a) = contract(y, x, over=a)", build=lambda b: _in_order(b, "contract")),
    Rule("minimum(x, y) = minimum(y, x)", build=lambda b: _in_order(b, "minimum")),
    Rule("maximum(x, y) = maximum(y, x)", build=lambda b: _in_order(b, "maximum")),
]

COLLECTING = (
    Table("collecting", SUMS + FOLDING + POWERS + NEGATIVES + BOUNDS + REDUCTIONS + SHIFTS + INNER + ORDER) + LINEAR
)
"""Like terms together, numbers folded and out of reductions: for every input, soft targets among them."""

DISTRIBUTING = Table(
    "distributing",
    [
        Rule("contract(x, y + z, over=a) = contract(x, y, over=a) + contract(x, z, over=a)"),
        Rule("contract(x, y - z, over=a) = contract(x, y, over=a) - contract(x, z, over=a)"),
        Rule("mean(x + y, over=a) = mean(x, over=a) + mean(y, over=a)"),
        Rule("mean(x - y, over=a) = mean(x, over=a) - mean(y, over=a)"),
    ],
)
"""Sums out of reductions: longer by themselves, and shorter where what comes out is in the loss already."""


def _chosen(x: Expr, target: Expr, over: tuple[str, ...]) -> Expr:
    """The entry at the label; what has no classes is the same for each."""
    return Expr.make("contract", (target, x), over=over) if over[0] in x.axes else x


def _target(b: Found) -> Expr:
    return Expr.make("one_hot", (b["y"], b["z"]), over=b["b"])


def _of_chosen(name: str) -> Rule:
    """f(x, …) at the label is f of the entries at the label, for an elementwise f."""
    operator = OPERATORS[name]
    names = ["x", "u", "v"][: operator.arity]
    keys = [key for key, _ in operator.attributes]
    given = "".join(f", {key}={letter}" for key, letter in zip(keys, "lk", strict=False))

    def build(b: Found) -> Expr | None:
        if b["a"] != b["b"]:
            return None
        args = [_chosen(b[n], _target(b), b["a"]) for n in names]
        return Expr.make(name, args, **{key: b[letter] for key, letter in zip(keys, "lk", strict=False)})

    return Rule(f"contract({ONE_HOT}, {name}({', '.join(names)}{given}), over=a) = {name} at the label", build=build)


CONDITIONS = ("equal", "less", "greater")
"""Elementwise operators whose results are no numbers to be multiplied."""


def _same_axis(b: Found) -> bool:
    return b["a"] == b["b"]


def _floored(b: Found) -> bool:
    return b["a"] == b["b"] and set(b["a"]) <= set(b["x"].axes) and b["v"].is_constant and b["v"].upper <= 0.0


def _floored_logarithm(b: Found) -> Expr:
    total = Expr.make("sum", (b["x"],), over=b["a"])
    return b["v"] * (total - _chosen(b["x"], _target(b), b["a"]))


ON_LABELS = Table(
    "on labels",
    [
        Rule(f"square({ONE_HOT}) = one_hot(y, z, over=b)"),
        # log 1 = 0, and log 0 is held at v ≤ 0.
        Rule(f"contract(x, maximum(log({ONE_HOT}), v), over=a) = v (Σ x - x_y)", _floored, _floored_logarithm),
        Rule(
            f"log(contract(softmax(x, over=a), {ONE_HOT}, over=a))"
            " = contract(log_softmax(x, over=a), one_hot(y, z, over=b), over=a)",
            when=_same_axis,
        ),
        Rule(
            f"exp(contract(log_softmax(x, over=a), {ONE_HOT}, over=a))"
            " = contract(softmax(x, over=a), one_hot(y, z, over=b), over=a)",
            when=_same_axis,
        ),
        *(_of_chosen(name) for name, op in OPERATORS.items() if op.elementwise and name not in CONDITIONS),
    ],
)
"""What holds where each target is one label, and not for the mean over a soft target."""
