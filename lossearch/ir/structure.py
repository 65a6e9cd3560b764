"""Operators on position: selection, sizes, label indexing: one row each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lossearch.ir import interval as iv
from lossearch.ir.axes import LARGEST_AXIS, Axes, align, union, without
from lossearch.ir.interval import UNIT, Interval
from lossearch.ir.operator import Operator, register, require_real
from lossearch.ir.reductions import one_axis, require_axes
from lossearch.ir.types import IllTyped, Type

if TYPE_CHECKING:
    from lossearch.ir.expr import Expr


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
        cost=0.0,
    )
)


def _require_index(name: str, labels: Expr) -> None:
    if labels.type.kind != "index":
        raise IllTyped(f"{name} needs integer labels", str(labels.type), "this operator is made by lowering only")


def _gather(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
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
    if values.axes[0] == axis and node.axes == (*labels.axes, *rest):  # rows of a table
        return f"{sources[0]}[{sources[1]}]"
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
        _gather,
        _emit_gather,
        "The entry along an axis that integer labels choose: an inner product with a one-hot target.",
        slopes=lambda a, b, **_: (1.0, 0.0),
        latex="{{{0}}}_{{y}}",
        attributes=(("over", ...),),
        internal=True,
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
        return f"{sources[1]}.new_zeros(()).expand_as({sources[1]}).scatter({dim}, {sources[0]}.unsqueeze({dim}), 1.0)"
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
        cost=4.0,
    )
)


def _scatter_sum(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    values, labels, like = arguments
    _require_index("scatter_sum", labels)
    axis = one_axis("scatter_sum", like, attributes["into"])
    require_axes("scatter_sum", values, attributes["over"])
    axes = union(without(values.type.axes, attributes["over"]), (axis,))
    return Type(axes, iv.scale(values.type.interval.hull(Interval(0.0, 0.0)), LARGEST_AXIS))


_SCATTER_SUM = '''
def scatter_sum(values: Tensor, labels: Tensor, count: int) -> Tensor:
    """Sum values[…, element] into […, count] at their labels."""
    out = values.new_zeros(list(values.shape[:-1]) + [count])
    return out.scatter_add(-1, labels, values)
'''

_COUNT_LABELS = '''
def count_labels(labels: Tensor, like: Tensor, count: int) -> Tensor:
    """Count each label of labels[…, element] into […, count], in the dtype of another tensor."""
    out = like.new_zeros(list(labels.shape[:-1]) + [count])
    return out.scatter_add(-1, labels, like.new_ones([1]).expand(labels.shape))
'''


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
    )
)


def _nll(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    require_real(operator, arguments[:1])
    gathered = _gather(operator, arguments, {"over": ("class",)})
    if arguments[0].type.axes[:2] != ("batch", "class") or attributes["reduction"] not in ("none", "mean", "sum"):
        raise IllTyped("values[batch, class, …] and a reduction", str(arguments[0].type), "use gather")
    negative = iv.sub(Interval(0.0, 0.0), gathered.interval)
    if attributes["reduction"] == "none":
        return Type(gathered.axes, negative)
    return Type((), iv.scale(negative, LARGEST_AXIS) if attributes["reduction"] == "sum" else negative)


def _emit_nll(sources: Sequence[str], node: Expr) -> str:
    reduction = node.attr("reduction")
    given = "" if reduction == "mean" else f', reduction="{reduction}"'
    return f"F.nll_loss({_for_nll(sources[0], node)}, {sources[1]}{given})"


def _for_nll(values: str, node: Expr) -> str:
    return f"{values}.contiguous()" if ("contiguous", "no") in node.attrs else values


register(
    Operator(
        "nll",
        2,
        _nll,
        _emit_nll,
        "The negated entry at each label, reduced over everything else or not: PyTorch's own kernel.",
        slopes=lambda a, b, **_: (1.0, 0.0),
        latex="-{{{0}}}_{{y}}",
        attributes=(("reduction", "none"), ("contiguous", "yes")),
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
        lambda sources, node: f'F.nll_loss({_for_nll(sources[0], node)}, {sources[1]}, {sources[2]}, reduction="sum")',
        "The sum of the negated entries at each label, weighted by label: PyTorch's own kernel.",
        slopes=lambda a, b, c, **_: (math.inf, 0.0, math.inf),
        latex="-\\sum {{{2}}}_{{y}} {{{0}}}_{{y}}",
        attributes=(("contiguous", "yes"),),
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
