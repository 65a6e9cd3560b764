"""Speed: factors leave reductions, and integer labels stay integers: a one-hot inner product is a gather."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import cache
from typing import Any

from lossearch.ir.core.axes import Axes, without
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.interval import EPSILON
from lossearch.ir.core.operator import OPERATORS
from lossearch.ir.rewriting.rule import EachOperator, Rule, Table

Found = Mapping[str, Any]


def _lacks(name: str) -> Callable[[Found], bool]:
    """The node bound to `name` has none of the axes bound to `a`."""
    return lambda b: not set(b[name].axes) & set(b["a"])


def _sum(x: Expr, over: Axes) -> Expr:
    return Expr.make("sum", (x,), over=over)


def _factor_out(b: Found) -> Expr | None:
    """Leave a contraction only where the other factor still has the axes."""
    return b["y"] * Expr.make("contract", (b["x"], b["w"]), over=b["a"]) if set(b["a"]) <= set(b["x"].axes) else None


def _is_weight(b: Found) -> bool:
    return b["y"].lower >= 0.0 and b["l"] <= EPSILON


def _are_weights(b: Found) -> bool:
    """The quotient is then a weighted mean of z, whatever its weights x·y sum to."""
    return b["x"].lower >= 0.0 and b["y"].lower >= 0.0 and b["l"] <= EPSILON


LINEAR = Table(
    "linear",
    [
        Rule("sum(x * y, over=a) = y * sum(x, over=a)", when=_lacks("y")),
        Rule("sum(x / y, over=a) = sum(x, over=a) / y", when=_lacks("y")),
        Rule("mean(x * y, over=a) = y * mean(x, over=a)", when=_lacks("y")),
        Rule("mean(x / y, over=a) = mean(x, over=a) / y", when=_lacks("y")),
        Rule("sum(softmax(x, over=a), over=a) + y = 1 + y"),
        Rule("sum(softmax(x, over=a), over=a) - y = 1 - y"),
        Rule("y - sum(softmax(x, over=a), over=a) = y - 1"),
        Rule("sum(softmax(x, over=a), over=a) * y = y"),
        # A weighted mean of what was divided by its own weight; x·y is what both mean as y goes to zero.
        Rule("x * y / clamp_min(y, lower=l) * y = x * y", when=_is_weight),
        Rule("x * y / clamp_min(y, lower=l) * (y * z) = x * (y * z)", when=_is_weight),
        Rule(
            "contract(x, y * z, over=a) / clamp_min(contract(x, y, over=a), lower=l) * contract(x, y, over=a)"
            " = contract(x, y * z, over=a)",
            when=_are_weights,
        ),
        Rule("contract(x * y, w, over=a) = y * contract(x, w, over=a)", when=_lacks("y"), build=_factor_out),
    ],
)

ONE_HOT = "one_hot(y, z, over=b)"


def _gather(values: Expr, labels: Expr, over: Axes) -> Expr:
    return Expr.make("gather", (values, labels), over=over)


def _gather_found(b: Found) -> Expr | None:
    return _gather(b["x"], b["y"], b["a"]) if b["a"] == b["b"] and b["a"][0] in b["x"].axes else None


def _inner(x: Expr, y: Expr, over: Axes) -> Expr | None:
    """Σ x·y over axes all of which either may lack; None where one has some of them only."""
    in_x, in_y = set(over) & set(x.axes), set(over) & set(y.axes)
    if not in_y and len(in_x) == len(over):
        return y * _sum(x, over)
    if not in_x and len(in_y) == len(over):
        return x * _sum(y, over)
    return Expr.make("contract", (x, y), over=over) if len(in_x) == len(in_y) == len(over) else None


def _one_hot_term(node: Expr) -> bool:
    """A one-hot target, possibly negated or times a factor."""
    while node.op in ("mul", "neg", "div"):
        node = next((argument for argument in node.args if argument.op in ("one_hot", "mul", "neg")), node.args[0])
    return node.op == "one_hot"


def _has_one_hot(b: Found) -> bool:
    return _one_hot_term(b["u"]) or _one_hot_term(b["v"])


def _distribute(name: str) -> Callable[[Found], Expr | None]:
    """Σ x·(u ± v) = Σ x·u ± Σ x·v."""

    def build(b: Found) -> Expr | None:
        first, second = _inner(b["x"], b["u"], b["a"]), _inner(b["x"], b["v"], b["a"])
        return None if first is None or second is None else Expr.make(name, (first, second))

    return build


def _distribute_sum(name: str) -> Callable[[Found], Expr | None]:
    def build(b: Found) -> Expr | None:
        both = all(set(b["a"]) <= set(b[key].axes) for key in "uv")
        return Expr.make(name, (_sum(b["u"], b["a"]), _sum(b["v"], b["a"]))) if both else None

    return build


def _same_axes(b: Found) -> bool:
    return b["a"] == b["b"] and b["a"][0] in b["x"].axes


def _is_probability(b: Found) -> bool:
    return _same_axes(b) and b["x"].lower >= 0.0 and b["x"].upper <= 1.0


def _square_error(b: Found) -> Expr:
    return _sum(Expr.make("square", (b["x"],)), b["a"]) - 2.0 * _gather(b["x"], b["y"], b["a"]) + 1.0


def _absolute_error(b: Found) -> Expr:
    return _sum(b["x"], b["a"]) - 2.0 * _gather(b["x"], b["y"], b["a"]) + 1.0


def _floored(b: Found) -> bool:
    return _same_axes(b) and b["v"].upper <= 0.0 and _lacks("v")(b)


def _floored_logarithm(b: Found) -> Expr:
    return b["v"] * (_sum(b["x"], b["a"]) - _gather(b["x"], b["y"], b["a"]))


def _rows_lead(labels: Expr, over: Axes) -> bool:
    """At most one kept axis, in front, so that [row, element] is a view."""
    kept = without(labels.axes, over)
    return bool(over) and set(over) <= set(labels.axes) and labels.axes[: len(kept)] == kept and len(kept) <= 1


def _scatter(b: Found) -> Expr | None:
    """Σ x·onehot(y) over everything but the class: chosen entries, summed at their labels."""
    x, labels, over, into = b["x"], b["y"], b["a"], b["b"]
    if not _rows_lead(labels, over) or set(x.axes) - {*labels.axes, *into}:
        return None
    chosen = _gather(x, labels, into) if into[0] in x.axes else x
    if chosen.axes != labels.axes:
        return None
    return Expr.make("scatter_sum", (chosen, labels, b["z"]), over=over, into=into)


def _count(b: Found) -> Expr | None:
    if not _rows_lead(b["y"], b["a"]):
        return None
    return Expr.make("label_counts", (b["y"], b["z"]), over=b["a"], into=b["b"])


@cache
def _gather_inside(name: str) -> Rule | None:
    """gather(f(x, …), y) = f(gather(x, y), …) for an elementwise f: work on the chosen entries only."""
    operator = OPERATORS[name]
    if not operator.elementwise or name == "equal":
        return None
    names = ["x", "u", "v"][: operator.arity]
    keys = [key for key, _ in operator.attributes]
    given = "".join(f", {key}={letter}" for key, letter in zip(keys, "lu", strict=False))

    def build(b: Found) -> Expr | None:
        args = [_gather(b[n], b["y"], b["a"]) if b["a"][0] in b[n].axes else b[n] for n in names]
        attributes = {key: b[letter] for key, letter in zip(keys, "lu", strict=False)}
        return Expr.make(name, args, **attributes)

    return Rule(f"gather({name}({', '.join(names)}{given}), y, over=a) = {name}(gather(…))", build=build)


LABELS = Table(
    "labels",
    [
        Rule(f"contract(x, {ONE_HOT}, over=a) = gather(x, y, over=a)", build=_gather_found),
        Rule(f"sum(x * {ONE_HOT}, over=a) = gather(x, y, over=a)", build=_gather_found),
        Rule("contract(x, u + v, over=a) = Σ x·u + Σ x·v", when=_has_one_hot, build=_distribute("add")),
        Rule("contract(x, u - v, over=a) = Σ x·u - Σ x·v", when=_has_one_hot, build=_distribute("sub")),
        Rule("sum(u + v, over=a) = Σ u + Σ v", when=_has_one_hot, build=_distribute_sum("add")),
        Rule("sum(u - v, over=a) = Σ u - Σ v", when=_has_one_hot, build=_distribute_sum("sub")),
        Rule(f"sum(square(x - {ONE_HOT}), over=a) = Σ x² - 2 x_y + 1", when=_same_axes, build=_square_error),
        Rule(f"sum(square({ONE_HOT} - x), over=a) = Σ x² - 2 x_y + 1", when=_same_axes, build=_square_error),
        # |x - 1| = 1 - x at the label and |x| = x elsewhere, for x in [0, 1].
        Rule(f"sum(abs(x - {ONE_HOT}), over=a) = Σ x - 2 x_y + 1", when=_is_probability, build=_absolute_error),
        Rule(f"sum(abs({ONE_HOT} - x), over=a) = Σ x - 2 x_y + 1", when=_is_probability, build=_absolute_error),
        # log 1 = 0, and log 0 is held at v ≤ 0.
        Rule(f"sum(x * maximum(log({ONE_HOT}), v), over=a) = v (Σ x - x_y)", when=_floored, build=_floored_logarithm),
        Rule(f"square({ONE_HOT}) = one_hot(y, z, over=b)"),
        Rule(f"abs({ONE_HOT}) = one_hot(y, z, over=b)"),
        Rule(f"sum({ONE_HOT}, over=b) * x = x"),
        # log 1 = 0: the entropy of a label.
        Rule(f"log(gather({ONE_HOT}, y, over=a)) + x = x"),
        Rule(f"log(gather({ONE_HOT}, y, over=a)) - x = neg(x)"),
        # A one-hot factor moves outwards, where the rules above see it.
        Rule(f"x * {ONE_HOT} * y' = x * y' * one_hot(y, z, over=b)", when=lambda b: b["y'"].op != "one_hot"),
        Rule(f"{ONE_HOT} * x * y' = x * y' * one_hot(y, z, over=b)", when=lambda b: b["y'"].op != "one_hot"),
        Rule(f"contract(x, {ONE_HOT}, over=a) = sums per label", build=_scatter),
        Rule(f"sum(x * {ONE_HOT}, over=a) = sums per label", build=_scatter),
        Rule(f"sum({ONE_HOT}, over=a) = label counts", build=_count),
        EachOperator(_gather_inside),
        # One pass over the classes serves probability and log-probability.
        Rule("gather(softmax(x, over=a), y, over=a) = exp(gather(log_softmax(x, over=a), y, over=a))"),
    ],
)
