"""PyTorch's own kernels for whole losses, made by lowering where a graph computes the same: one row each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lossearch.ir.core import interval as iv
from lossearch.ir.core.axes import LARGEST_AXIS
from lossearch.ir.core.interval import Interval
from lossearch.ir.core.operator import Operator, register, require_real
from lossearch.ir.core.types import IllTyped, Type
from lossearch.ir.operators.structure import gathered

if TYPE_CHECKING:
    from lossearch.ir.core.expr import Expr


def _nll(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    require_real(operator, arguments[:1])
    entries = gathered(operator, arguments, {"over": ("class",)})
    if arguments[0].type.axes[:2] != ("batch", "class") or attributes["reduction"] not in ("none", "mean", "sum"):
        raise IllTyped("values[batch, class, …] and a reduction", str(arguments[0].type), "use gather")
    negative = iv.sub(Interval(0.0, 0.0), entries.interval)
    if attributes["reduction"] == "none":
        return Type(entries.axes, negative)
    return Type((), iv.scale(negative, LARGEST_AXIS) if attributes["reduction"] == "sum" else negative)


def _emit_nll(sources: Sequence[str], node: Expr) -> str:
    reduction = node.attr("reduction")
    given = "" if reduction == "mean" else f', reduction="{reduction}"'
    return f"F.nll_loss({_for_nll(sources[0], node)}, {sources[1]}{given}{_strictness(node)})"


def _emit_weighted_nll(sources: Sequence[str], node: Expr) -> str:
    values = _for_nll(sources[0], node)
    return f'F.nll_loss({values}, {sources[1]}, {sources[2]}, reduction="sum"{_strictness(node)})'


def _for_nll(values: str, node: Expr) -> str:
    return f"{values}.contiguous()" if ("contiguous", "no") in node.attrs else values


STRICT = ("strict", "yes")
"""Attribute of a kernel that refuses every label that is no class."""

_NO_LABEL = -(2**63 - 1)
"""A value that no label has. By itself the kernel ignores -100; told to ignore this one, it refuses all that are no
class."""


def _strictness(node: Expr) -> str:
    return f", ignore_index={_NO_LABEL}" if STRICT in node.attrs else ""


register(
    Operator(
        "nll",
        2,
        _nll,
        _emit_nll,
        "The negated entry at each label, reduced over everything else or not: PyTorch's own kernel.",
        slopes=lambda a, b, **_: (1.0, 0.0),
        latex="-{{{0}}}_{{y}}",
        attributes=(("reduction", "none"), ("contiguous", "yes"), ("strict", "no")),
        internal=True,
    )
)


def _weighted_nll(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    values, labels, weight = arguments
    if weight.type.axes != ("class",):
        raise IllTyped("weight[class]", str(weight.type), "use gather")
    total = _nll(operator, (values, labels), {"reduction": "sum"})
    return Type((), iv.mul(total.interval, weight.type.interval))


register(
    Operator(
        "weighted_nll",
        3,
        _weighted_nll,
        _emit_weighted_nll,
        "The sum of the negated entries at each label, weighted by label: PyTorch's own kernel.",
        slopes=lambda a, b, c, **_: (math.inf, 0.0, math.inf),
        latex="-\\sum {{{2}}}_{{y}} {{{0}}}_{{y}}",
        attributes=(("contiguous", "yes"), ("strict", "no")),
        internal=True,
    )
)


def _over_everything(each: Interval, reduction: str) -> Type:
    """The type of the mean or sum of elements that lie in `each`."""
    return Type((), iv.scale(each, LARGEST_AXIS) if reduction == "sum" else each)


def _reduction_argument(node: Expr) -> str:
    """What a kernel of PyTorch's is told, whose default is the mean."""
    reduction = node.attr("reduction")
    return "" if reduction == "mean" else f', reduction="{reduction}"'


def _error(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    a, b = arguments
    require_real(operator, arguments)
    if a.type.axes != b.type.axes or attributes["reduction"] not in ("mean", "sum") or attributes["delta"] <= 0.0:
        raise IllTyped("two arguments with the same axes, a reduction, and delta > 0", str(b.type), "use sub")
    size = iv.sub(a.type.interval, b.type.interval).magnitude
    return _over_everything(Interval(0.0, size * min(size, 2.0 * attributes["delta"])), attributes["reduction"])


def _emit_error(sources: Sequence[str], node: Expr) -> str:
    delta, given = node.attr("delta"), _reduction_argument(node)
    if math.isinf(delta):
        return f"F.mse_loss({sources[0]}, {sources[1]}{given})"
    return f"F.huber_loss({sources[0]}, {sources[1]}{given}, delta={delta!r})"


register(
    Operator(
        "error",
        2,
        _error,
        _emit_error,
        "Squared error reduced over everything, or half of it up to `delta` and linear beyond: PyTorch's own kernels.",
        slopes=lambda a, b, **_: (math.inf, math.inf),
        latex="\\operatorname{{error}}({0}, {1})",
        attributes=(("reduction", "mean"), ("delta", math.inf)),
        internal=True,
    )
)


def _binary_nll(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    logits, target = arguments
    require_real(operator, arguments)
    if logits.type.axes != target.type.axes or attributes["reduction"] not in ("none", "mean", "sum"):
        raise IllTyped("two arguments with the same axes, and a reduction", str(target.type), "use softplus")
    largest = Interval(0.0, logits.type.interval.magnitude + 1.0)
    if attributes["reduction"] == "none":
        return Type(logits.type.axes, largest)
    return _over_everything(largest, attributes["reduction"])


def _emit_binary_nll(sources: Sequence[str], node: Expr) -> str:
    return f"F.binary_cross_entropy_with_logits({sources[0]}, {sources[1]}{_reduction_argument(node)})"


register(
    Operator(
        "binary_nll",
        2,
        _binary_nll,
        _emit_binary_nll,
        "Cross-entropy of σ(a) with b in [0, 1]: PyTorch's own kernel.",
        slopes=lambda a, b, **_: (math.inf, math.inf),
        latex="\\operatorname{{bce}}({0}, {1})",
        attributes=(("reduction", "none"),),
        internal=True,
    )
)
