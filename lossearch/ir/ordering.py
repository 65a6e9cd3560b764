"""Operators for orderings and pairs: all elements along one axis, steps, positions, equal identities: one row each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lossearch.ir.axes import LARGEST_AXIS, union, without
from lossearch.ir.interval import UNIT, Interval
from lossearch.ir.operator import Operator, register, require_real
from lossearch.ir.reductions import one_axis, require_axes
from lossearch.ir.types import IllTyped, Type

if TYPE_CHECKING:
    from lossearch.ir.expr import Expr

ELEMENT, MERGED = "element", ("batch", "space")


def _merge(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    (argument,) = arguments
    require_real(operator, arguments)
    require_axes("merge", argument, MERGED)
    if ELEMENT in argument.axes:
        raise IllTyped("an argument whose elements are not merged yet", str(argument.type), "merge once")
    return Type(union(without(argument.axes, MERGED), (ELEMENT,)), argument.type.interval)


def _emit_merge(sources: Sequence[str], node: Expr) -> str:
    """Batch and space move to where the merged axis belongs."""
    axes, at = node.args[0].axes, node.axes.index(ELEMENT)
    inside = [axis for axis in axes if axis not in node.axes]
    moved = [*node.axes[:at], *inside, *node.axes[at + 1 :]]
    places = ", ".join(str(axes.index(axis)) for axis in moved)
    source = sources[0] if tuple(moved) == axes else f"{sources[0]}.permute({places})"
    return f"{source}.flatten({at}, {at + len(inside) - 1})"


register(
    Operator(
        "merge",
        1,
        _merge,
        _emit_merge,
        "Batch and space as the one axis `element`.",
        slopes=lambda a: (1.0,),
        latex="{0}",
    )
)


def _step(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    require_real(operator, arguments)
    one_axis("step", arguments[0], attributes["over"])
    low, high = arguments[0].type.interval
    return Type(arguments[0].type.axes, Interval(min(low - high, low), max(high - low, high)))


_STEP = '''
def steps(x: Tensor, dim: int) -> Tensor:
    """Each entry along a dimension less the one before it; the first as it is."""
    return torch.diff(x, dim=dim, prepend=torch.zeros_like(x.narrow(dim, 0, 1)))
'''

register(
    Operator(
        "step",
        1,
        _step,
        "steps({0}, {dim})",
        "Each entry along an axis less the one before it: the inverse of a cumulative sum.",
        slopes=lambda a, **_: (2.0,),
        latex="\\Delta_{{\\mathrm{{{over}}}}} {0}",
        attributes=(("over", ...),),
        helper=_STEP,
    )
)


def _position(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    require_real(operator, arguments)
    axis = one_axis("position", arguments[0], attributes["over"])
    return Type((axis,), Interval(0.0, float(LARGEST_AXIS)))


register(
    Operator(
        "position",
        1,
        _position,
        "torch.arange({0}.shape[{dim}], dtype={0}.dtype, device={0}.device)",
        "Place of each entry along an axis: 0, 1, 2 …",
        slopes=lambda a, **_: (0.0,),
        latex="i_{{\\mathrm{{{over}}}}}",
        attributes=(("over", ...),),
        cost=0.0,
    )
)


def _equal(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    for position, argument in enumerate(arguments):
        if argument.type.kind != "index":
            raise IllTyped(
                f"equal needs identities as argument {position + 1}", str(argument.type), "compare real numbers by size"
            )
    first, second = arguments
    return Type(union(first.type.axes, second.type.axes), UNIT, "boolean")


register(
    Operator(
        "equal",
        2,
        _equal,
        "{0} == {1}",
        "Whether two identities, such as labels of a pair, are the same; a condition for `where`.",
        slopes=lambda a, b: (0.0, 0.0),
        latex="{0} = {1}",
        elementwise=True,
        commutative=True,
    )
)
