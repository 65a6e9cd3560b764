"""Operators for orderings and pairs: all elements along one axis, steps, positions, equal identities: one row each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lossearch.ir.core.axes import LARGEST_AXIS, align, union, without
from lossearch.ir.core.interval import UNIT, Interval
from lossearch.ir.core.operator import Helper, Operator, TypeRule, register, require_real
from lossearch.ir.core.types import IllTyped, Kind, Type
from lossearch.ir.operators import masks
from lossearch.ir.operators.reductions import SORT, one_axis, require_axes

if TYPE_CHECKING:
    from lossearch.ir.core.expr import Expr

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
        masked=masks.merging,
    )
)


def _step(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    require_real(operator, arguments)
    one_axis("step", arguments[0], attributes["over"])
    low, high = arguments[0].type.interval
    return Type(arguments[0].type.axes, Interval(min(low - high, low), max(high - low, high)))


_STEP = Helper(
    "steps",
    '''
def steps(x: Tensor, dim: int) -> Tensor:
    """Each entry along a dimension less the one before it; the first as it is."""
    shape = list(x.shape)
    shape[dim] = 1
    return torch.diff(x, dim=dim, prepend=x.new_zeros(shape))
''',
)

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
        masked=masks.in_order_alone,
    )
)


def _sort_by(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    require_real(operator, arguments)
    values, order = arguments
    for argument in arguments:
        one_axis("sort_by", argument, attributes["over"])
    return Type(union(values.type.axes, order.type.axes), values.type.interval)


_IN_ORDER = Helper(
    "in_order",
    '''
def in_order(values: Tensor, places: Tensor, dim: int) -> Tensor:
    """The values at the given places along a dimension."""
    # Not take_along_dim: it makes torch.export hold the length of the dimension fixed.
    values, places = torch.broadcast_tensors(values, places)
    return torch.gather(values, dim, places)
''',
)


def _emit_in_order(sources: Sequence[str], node: Expr) -> str:
    """Either side may lack axes of the other."""
    (axis,) = node.attr("over")
    aligned = [align(s, a.axes, node.axes, lead=True) for s, a in zip(sources, node.args, strict=True)]
    return f"in_order({aligned[0]}, {aligned[1]}, {node.axes.index(axis)})"


_SORTED_BY = Helper(
    "sorted_by",
    '''
def sorted_by(values: Tensor, scores: Tensor, dim: int) -> Tensor:
    """The values along a dimension in the descending order of the scores."""
    places = torch.sort(scores, dim=dim, descending=True, stable=True)[1]
    # Not take_along_dim: it makes torch.export hold the length of the dimension fixed.
    values, places = torch.broadcast_tensors(values, places)
    return torch.gather(values, dim, places)
''',
)


def _emit_sort_by(sources: Sequence[str], node: Expr) -> str:
    """Either side may lack axes of the other."""
    (axis,) = node.attr("over")
    aligned = [align(s, a.axes, node.axes, lead=True) for s, a in zip(sources, node.args, strict=True)]
    return f"sorted_by({aligned[0]}, {aligned[1]}, {node.axes.index(axis)})"


register(
    Operator(
        "sort_by",
        2,
        _sort_by,
        _emit_sort_by,
        "The first argument's values along an axis in the descending order of the second's.",
        slopes=lambda a, b, over: (1.0, 0.0),
        latex="\\operatorname*{{sort}}_{{\\mathrm{{{over}}}}}({0}; {1})",
        attributes=(("over", ...),),
        helper=_SORTED_BY,
        masked=masks.ordering,
        scatters=lambda node: True,
    )
)


def _pick(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    require_real(operator, arguments)
    values, scores = arguments
    for argument in arguments:
        one_axis("pick", argument, attributes["over"])
    axes = without(union(values.type.axes, scores.type.axes), attributes["over"])
    return Type(axes, values.type.interval)


# Not torch.gather: with one thread, torch.compile may read its gradient before it has been scattered (torch 2.13).
_PICKED = Helper(
    "picked",
    '''
def picked(values: Tensor, scores: Tensor, dim: int) -> Tensor:
    """The values along a dimension at the places of the largest scores."""
    values, scores = torch.broadcast_tensors(values, scores)
    lengths = [1] * scores.dim()
    lengths[dim] = -1
    place = torch.arange(scores.shape[dim], device=scores.device).reshape(lengths)
    return torch.where(place == scores.argmax(dim, keepdim=True), values, 0.0).sum(dim)
''',
)


def _picks_rows(node: Expr) -> bool:
    """Whether each choice is one of a matrix's rows."""
    (values, scores), over = node.args, node.attr("over")
    rest, chosen = without(values.axes, over), without(scores.axes, over)
    return len(chosen) == 1 and node.axes == (*chosen, *rest) and chosen[0] not in rest


def _emit_pick(sources: Sequence[str], node: Expr) -> str:
    """Rows of a matrix, else entries along the axis of what both broadcast to."""
    (values, scores), (axis,) = node.args, node.attr("over")
    if _picks_rows(node):
        places = f"torch.argmax({sources[1]}, {scores.axes.index(axis)})"
        return f"{sources[0]}.index_select({values.axes.index(axis)}, {places})"
    full = union(values.axes, scores.axes)
    aligned = [align(s, a.axes, full, lead=True) for s, a in zip(sources, node.args, strict=True)]
    return f"picked({aligned[0]}, {aligned[1]}, {full.index(axis)})"


register(
    Operator(
        "pick",
        2,
        _pick,
        _emit_pick,
        "The first argument's entries along an axis at which the second's are largest.",
        slopes=lambda a, b, over: (1.0, 0.0),
        latex="{0}\\big|_{{\\operatorname*{{argmax}}_{{\\mathrm{{{over}}}}} {1}}}",
        attributes=(("over", ...),),
        helper=_PICKED,
        masked=masks.choosing,
        neutral=(0.0, -math.inf),
        scatters=_picks_rows,
    )
)


def _ordered(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    require_real(operator, arguments)
    one_axis("ordered", arguments[0], attributes["over"])
    return Type(arguments[0].type.axes, Interval(0.0, float(LARGEST_AXIS)), "index")


register(
    Operator(
        "ordered",
        1,
        _ordered,
        SORT,
        "Values along an axis in descending order together with their places: a pair, for the two operators below.",
        slopes=lambda a, **_: (1.0,),
        latex="\\operatorname*{{sort}}_{{\\mathrm{{{over}}}}} {0}",
        attributes=(("over", ...),),
        internal=True,
        scatters=lambda node: True,
    )
)


def _of_ordered(kind: Kind) -> TypeRule:
    def rule(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
        (pair,) = arguments
        if pair.op != "ordered":
            raise IllTyped(f"{operator.name} needs what `ordered` gives", pair.op, "use sort_by")
        return pair.type if kind == "index" else pair.args[0].type

    return rule


register(
    Operator(
        "ordered_values",
        1,
        _of_ordered("real"),
        "{0}[0]",
        "The values of an ordered pair.",
        slopes=lambda a: (1.0,),
        latex="{0}",
        internal=True,
        scatters=lambda node: True,
    )
)

register(
    Operator(
        "ordered_places",
        1,
        _of_ordered("index"),
        "{0}[1]",
        "The places of an ordered pair.",
        slopes=lambda a: (0.0,),
        latex="{0}",
        internal=True,
        scatters=lambda node: True,
    )
)


def _in_order(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    values, places = arguments
    require_real(operator, (values,))
    if places.type.kind != "index":
        raise IllTyped("in_order needs places as its second argument", str(places.type), "use sort_by")
    for argument in arguments:
        one_axis("in_order", argument, attributes["over"])
    return Type(union(values.type.axes, places.type.axes), values.type.interval)


register(
    Operator(
        "in_order",
        2,
        _in_order,
        _emit_in_order,
        "The first argument's values at the places along an axis that the second says.",
        slopes=lambda a, b, over: (1.0, 0.0),
        latex="\\operatorname*{{sort}}_{{\\mathrm{{{over}}}}}({0}; {1})",
        attributes=(("over", ...),),
        helper=_IN_ORDER,
        internal=True,
        scatters=lambda node: True,
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
        "torch.arange({0}.shape[{dim}], device={0}.device).to({0})",
        "Place of each entry along an axis: 0, 1, 2 …",
        slopes=lambda a, **_: (0.0,),
        latex="i_{{\\mathrm{{{over}}}}}",
        attributes=(("over", ...),),
        masked=masks.places_alone,
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
