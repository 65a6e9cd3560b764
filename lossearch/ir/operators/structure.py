"""Operators on position: selection, sizes, label indexing: one row each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lossearch.ir.core import interval as iv
from lossearch.ir.core.axes import LARGEST_AXIS, Axes, align, union, without
from lossearch.ir.core.interval import UNIT, Interval
from lossearch.ir.core.operator import Helper, Operator, register, require_real
from lossearch.ir.core.types import IllTyped, Type
from lossearch.ir.operators import masks
from lossearch.ir.operators.reductions import one_axis, require_axes

if TYPE_CHECKING:
    from lossearch.ir.core.expr import Expr


def _select(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    require_real(operator, arguments)
    axis = one_axis("select", arguments[0], attributes["over"])
    if attributes["index"] < 0:
        raise IllTyped("an index ≥ 0", str(attributes["index"]), "count from the first entry")
    return Type(without(arguments[0].type.axes, (axis,)), arguments[0].type.interval)


register(
    Operator(
        "select",
        1,
        _select,
        "{0}.select({dim}, {index})",
        "One entry of an axis of fixed meaning, such as a box coordinate.",
        slopes=lambda a, **_: (1.0,),
        latex="{{{0}}}_{{{index}}}",
        attributes=(("over", ...), ("index", ...)),
        masked=masks.other_axes_alone,
    )
)


def _along(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    axis = one_axis("along", arguments[0], attributes["over"])
    values = attributes["values"]
    if not values or not all(math.isfinite(value) for value in values):
        raise IllTyped("finite numbers, one for each entry", str(values), "give at least one")
    return Type((axis,), Interval(min(values), max(values)))


def _emit_along(sources: Sequence[str], node: Expr) -> str:
    values = ", ".join(map(repr, node.attr("values")))
    return f"torch.tensor([{values}], dtype={sources[0]}.dtype, device={sources[0]}.device)"


register(
    Operator(
        "along",
        1,
        _along,
        _emit_along,
        "Given numbers, one for each entry along an axis of the argument.",
        slopes=lambda a, **_: (0.0,),
        latex="({values})_{{\\mathrm{{{over}}}}}",
        attributes=(("over", ...), ("values", ...)),
        masked=masks.places_alone,
    )
)


def _size(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    require_axes("size", arguments[0], attributes["over"])
    return Type((), Interval(1.0, float(LARGEST_AXIS)))


def _emit_size(sources: Sequence[str], node: Expr) -> str:
    """A Python number, so that it costs no kernel."""
    dims = [node.args[0].axes.index(axis) for axis in node.attr("over")]
    return " * ".join(f"{sources[0]}.shape[{dim}]" for dim in dims)


register(
    Operator(
        "size",
        1,
        _size,
        _emit_size,
        "Number of entries along named axes.",
        slopes=lambda a, **_: (0.0,),
        latex="N_{{\\mathrm{{{over}}}}}",
        attributes=(("over", ...),),
        masked=masks.count_of_kept,
    )
)


def _extended(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    """The type stays, since the further entry is neutral for what reads it."""
    require_real(operator, arguments)
    require_axes("extended", arguments[0], attributes["over"])
    return arguments[0].type


_EXTENDED = Helper(
    "extended",
    '''
def extended(x: Tensor, dims: List[int], value: float) -> Tensor:
    """The tensor with a further entry of one value at the end of each of the dimensions, so that none is empty."""
    pad = [0] * (2 * x.dim())
    for dim in dims:
        pad[2 * (x.dim() - dim) - 1] = 1
    return F.pad(x, pad, value=value)
''',
)


def _emit_extended(sources: Sequence[str], node: Expr) -> str:
    dims = [node.axes.index(axis) for axis in node.attr("over")]
    value = node.attr("value")
    spelled = repr(value) if math.isfinite(value) else "math.inf" if value > 0.0 else "-math.inf"
    return f"extended({sources[0]}, {dims}, {spelled})"


register(
    Operator(
        "extended",
        1,
        _extended,
        _emit_extended,
        "The argument with a further entry of a given value at the end of named axes.",
        slopes=lambda a, **_: (1.0,),
        latex="{0}",
        attributes=(("over", ...), ("value", ...)),
        helper=_EXTENDED,
        internal=True,
    )
)


def _require_index(name: str, labels: Expr) -> None:
    if labels.type.kind != "index":
        raise IllTyped(f"{name} needs integer labels", str(labels.type), "this operator is made by lowering only")


def gathered(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    """A condition may be gathered as well, on its way into `where`."""
    values, labels = arguments
    if values.type.kind != "boolean":
        require_real(operator, (values,))
    _require_index("gather", labels)
    axis = one_axis("gather", values, attributes["over"])
    axes = union(without(values.type.axes, (axis,)), labels.type.axes)
    return Type(axes, values.type.interval, values.type.kind)


def _emit_gather(sources: Sequence[str], node: Expr) -> str:
    """Take each element's entry at its label, expanding whichever side lacks an axis."""
    (values, labels), axis = node.args, node.attr("over")[0]
    rest = without(values.axes, (axis,))
    if not rest:
        return f"{sources[0]}[{sources[1]}]"
    if values.axes == (axis, *rest) and len(rest) == 1 and node.axes == (*labels.axes, *rest):
        return f"F.embedding({sources[1]}, {sources[0]})"  # which, unlike an index, refuses what counts from the end
    full = union(node.axes, (axis,))
    dim = full.index(axis)
    if rest == labels.axes:
        return f"{sources[0]}.gather({dim}, {sources[1]}.unsqueeze({dim})).squeeze({dim})"
    left, right = align(sources[0], values.axes, full, lead=True), align(sources[1], labels.axes, full, lead=True)
    return f"torch.take_along_dim({left}, {right}, {dim}).squeeze({dim})"


register(
    Operator(
        "gather",
        2,
        gathered,
        _emit_gather,
        "The entry along an axis that integer labels choose: an inner product with a one-hot target.",
        slopes=lambda a, b, **_: (1.0, 0.0),
        latex="{{{0}}}_{{y}}",
        attributes=(("over", ...),),
        internal=True,
        scatters=lambda node: True,
    )
)


def _one_hot(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    labels, like = arguments
    _require_index("one_hot", labels)
    axis = one_axis("one_hot", like, attributes["over"])
    return Type(union(labels.type.axes, (axis,)), UNIT, simplex=axis)


def _emit_one_hot(sources: Sequence[str], node: Expr) -> str:
    like, axis = node.args[1], node.attr("over")[0]
    count = f"{sources[1]}.shape[{like.axes.index(axis)}]"
    dim = node.axes.index(axis)
    if like.axes == node.axes:  # one pass in the right dtype and layout; F.one_hot makes int64, and not under vmap
        return f"torch.zeros_like({sources[1]}).scatter({dim}, {sources[0]}.unsqueeze({dim}), 1.0)"
    moved = "" if dim == len(node.axes) - 1 else f".movedim(-1, {dim})"
    return f"F.one_hot({sources[0]}, {count}){moved}.to({sources[1]}.dtype)"


register(
    Operator(
        "one_hot",
        2,
        _one_hot,
        _emit_one_hot,
        "Integer labels as one-hot vectors with as many entries as the second argument has.",
        slopes=lambda a, b, **_: (0.0, 0.0),
        latex="\\mathbb{{1}}[{0}]",
        attributes=(("over", ...),),
        internal=True,
    )
)


def _scatter_sum(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    values, labels, like = arguments
    _require_index("scatter_sum", labels)
    axis = one_axis("scatter_sum", like, attributes["into"])
    require_axes("scatter_sum", values, attributes["over"])
    axes = union(without(values.type.axes, attributes["over"]), (axis,))
    return Type(axes, iv.scale(values.type.interval.hull(Interval(0.0, 0.0)), LARGEST_AXIS))


_SCATTER_SUM = Helper(
    "scatter_sum",
    '''
def scatter_sum(values: Tensor, labels: Tensor, count: int) -> Tensor:
    """Sum values[…, element] into […, count] at their labels."""
    out = values.new_zeros(list(values.shape[:-1]) + [count])
    return out.scatter_add(-1, labels, values)
''',
)

_COUNT_LABELS = Helper(
    "count_labels",
    '''
def count_labels(labels: Tensor, like: Tensor, count: int) -> Tensor:
    """Count each label of labels[…, element] into […, count], in the dtype of another tensor."""
    out = like.new_zeros(list(labels.shape[:-1]) + [count])
    return out.scatter_add(-1, labels, like.new_ones([1]).expand(labels.shape))
''',
)


def _emit_scatter_sum(sources: Sequence[str], node: Expr) -> str:
    """Kept axes lead and reduced ones follow in the layout, so both sides flatten to [row, element]."""
    _, labels, like = node.args
    count = f"{sources[2]}.shape[{like.axes.index(node.attr('into')[0])}]"
    flat = [_flattened(source, labels, node.attr("over")) for source in sources[:2]]
    return f"scatter_sum({flat[0]}, {flat[1]}, {count})"


def _flattened(source: str, labels: Expr, over: Axes) -> str:
    """The reduced axes, which are the last, as one."""
    rows = len(without(labels.axes, over))
    return source if len(labels.axes) == rows + 1 else f"{source}.flatten({rows or ''})"


register(
    Operator(
        "scatter_sum",
        3,
        _scatter_sum,
        _emit_scatter_sum,
        "Sums of values per label: a one-hot product reduced over everything but the class.",
        slopes=lambda a, b, c, **_: (1.0, 0.0, 0.0),
        latex="\\sum_{{\\mathrm{{{over}}}}} {0}\\,\\mathbb{{1}}[{1}]",
        attributes=(("over", ...), ("into", ...)),
        helper=_SCATTER_SUM,
        internal=True,
        scatters=lambda node: True,
    )
)


def _label_counts(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    labels, like = arguments
    _require_index("label_counts", labels)
    axis = one_axis("label_counts", like, attributes["into"])
    require_axes("label_counts", labels, attributes["over"])
    axes = union(without(labels.type.axes, attributes["over"]), (axis,))
    return Type(axes, Interval(0.0, float(LARGEST_AXIS)))


def _emit_label_counts(sources: Sequence[str], node: Expr) -> str:
    """Not bincount, whose result has a shape that depends on data."""
    labels, like = node.args
    count = f"{sources[1]}.shape[{like.axes.index(node.attr('into')[0])}]"
    return f"count_labels({_flattened(sources[0], labels, node.attr('over'))}, {sources[1]}, {count})"


register(
    Operator(
        "label_counts",
        2,
        _label_counts,
        _emit_label_counts,
        "How often each label occurs: a one-hot target reduced over everything but the class.",
        slopes=lambda a, b, **_: (0.0, 0.0),
        latex="\\sum_{{\\mathrm{{{over}}}}} \\mathbb{{1}}[{0}]",
        attributes=(("over", ...), ("into", ...)),
        helper=_COUNT_LABELS,
        internal=True,
        scatters=lambda node: True,
    )
)


def _add_at(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    values, labels, added = arguments
    _require_index("add_at", labels)
    axis = one_axis("add_at", values, attributes["over"])
    if labels.type.axes != without(values.type.axes, (axis,)) or added.type.axes not in ((), labels.type.axes):
        raise IllTyped("one number at the label of each element", str(added.type), "use one_hot")
    return Type(values.type.axes, iv.add(values.type.interval, added.type.interval.hull(Interval(0.0, 0.0))))


def _emit_add_at(sources: Sequence[str], node: Expr) -> str:
    values, labels, added = sources
    dim = node.axes.index(node.attr("over")[0])
    if not node.args[2].axes:
        added = f"{added}.expand_as({labels})"
    return f"{values}.scatter_add({dim}, {labels}.unsqueeze({dim}), {added}.unsqueeze({dim}))"


register(
    Operator(
        "add_at",
        3,
        _add_at,
        _emit_add_at,
        "The first argument with the third added at the label of each element.",
        slopes=lambda a, b, c, **_: (1.0, 0.0, 1.0),
        latex="{0} + \\mathbb{{1}}[{1}] {2}",
        attributes=(("over", ...),),
        internal=True,
        scatters=lambda node: True,
    )
)
