"""Operators over named axes: reductions, normalisations, contractions, orderings: one row each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lossearch.ir.core import interval as iv
from lossearch.ir.core.axes import LARGEST_AXIS, Axes, align, check_axis, ordered, union, without
from lossearch.ir.core.interval import UNIT, Interval, times
from lossearch.ir.core.operator import Operator, guarded_intervals, register, require_real
from lossearch.ir.core.types import IllTyped, Type
from lossearch.ir.operators import masks

if TYPE_CHECKING:
    from lossearch.ir.core.expr import Expr


def require_axes(name: str, argument: Expr, axes: Axes) -> None:
    """Refuse an operator over axes that its argument does not have."""
    missing = [axis for axis in axes if check_axis(axis) not in argument.type.axes]
    if missing or not axes:
        raise IllTyped(
            f"{name} over axes of its argument",
            f"over ({', '.join(axes)}) of an argument with axes [{', '.join(argument.type.axes)}]",
            "name axes that the argument has",
        )


def _average_over(argument: Expr, over: Axes) -> Interval | None:
    """Bounds of Σ w·x where w sums to one over the reduced axis: a weighted average stays within x."""
    if argument.op != "mul" or len(over) != 1:
        return None
    for weights, values in (argument.args, argument.args[::-1]):
        if weights.type.simplex == over[0] and weights is not values:
            return values.type.interval
    return None


def reduction(
    name: str, emit: str, doc: str, latex: str, bounds: Callable[[Interval], Interval], **fields: Any
) -> None:
    """Register an operator that removes the axes `over`."""

    def rule(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
        (argument,), over = arguments, attributes["over"]
        require_real(operator, arguments)
        require_axes(name, argument, over)
        interval = bounds(guarded_intervals(operator, arguments)[0])
        if name == "sum":
            if argument.type.simplex is not None and over == (argument.type.simplex,):
                interval = Interval(1.0, 1.0)
            else:
                interval = _average_over(argument, over) or interval
        return Type(without(argument.type.axes, over), interval)

    fields.setdefault("slopes", lambda a, over: (1.0,))
    register(Operator(name, 1, rule, emit, doc, latex=latex, attributes=(("over", ...),), **fields))


def _norm_bounds(a: Interval) -> Interval:
    return Interval(a.mignitude, a.magnitude * math.sqrt(LARGEST_AXIS))


reduction(
    "sum",
    "{0}.sum({dims})",
    "Sum over named axes.",
    "\\sum_{{\\mathrm{{{over}}}}} {0}",
    lambda a: iv.scale(a, LARGEST_AXIS),
    masked=masks.as_zeros,
)
reduction(
    "mean",
    "{0}.mean({dims})",
    "Mean over named axes.",
    "\\operatorname*{{mean}}_{{\\mathrm{{{over}}}}} {0}",
    lambda a: a,
    masked=masks.mean_of_kept,
)
reduction(
    "max",
    "{0}.amax({dims})",
    "Maximum over named axes.",
    "\\max_{{\\mathrm{{{over}}}}} {0}",
    lambda a: a,
    masked=masks.maximum_of_kept,
    neutral=(-math.inf,),
)
reduction(
    "min",
    "{0}.amin({dims})",
    "Minimum over named axes.",
    "\\min_{{\\mathrm{{{over}}}}} {0}",
    lambda a: a,
    masked=masks.minimum_of_kept,
    neutral=(math.inf,),
)
reduction(
    "logsumexp",
    "torch.logsumexp({0}, {dims})",
    "Logarithm of the sum of exponentials over named axes.",
    "\\operatorname*{{logsumexp}}_{{\\mathrm{{{over}}}}} {0}",
    lambda a: Interval(a.lower, a.upper + math.log(LARGEST_AXIS)),
    masked=masks.exponentials_of_kept,
)
reduction(
    "norm",
    "torch.linalg.vector_norm({0}, dim={dims})",
    "Euclidean norm over named axes; its gradient at zero is zero.",
    "\\left\\lVert {0} \\right\\rVert_{{\\mathrm{{{over}}}}}",
    _norm_bounds,
    # The kernel squares its argument, which must not overflow float32.
    slopes=lambda a, over: (1.0 if a.magnitude < 1e15 else math.inf,),
    masked=masks.as_zeros,
)


def one_axis(name: str, argument: Expr, axes: Axes) -> str:
    """The single axis that an operator works along."""
    require_axes(name, argument, axes)
    if len(axes) != 1:
        raise IllTyped(f"{name} along one axis", f"({', '.join(axes)})", "apply it one axis at a time")
    return axes[0]


def along_axis(
    name: str, emit: str, doc: str, latex: str, bounds: Callable[[Interval], Interval], **fields: Any
) -> None:
    """Register an operator that keeps its argument's shape and works along the single axis `over`."""
    sums = name == "softmax"

    def rule(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
        require_real(operator, arguments)
        axis = one_axis(name, arguments[0], attributes["over"])
        interval = bounds(arguments[0].type.interval)
        return Type(arguments[0].type.axes, interval, simplex=axis if sums else None)

    register(Operator(name, 1, rule, emit, doc, latex=latex, attributes=(("over", ...),), **fields))


along_axis(
    "softmax",
    "torch.softmax({0}, {dim})",
    "Exponentials normalised to sum to one along an axis.",
    "\\operatorname*{{softmax}}_{{\\mathrm{{{over}}}}} {0}",
    lambda a: UNIT,
    slopes=lambda a, over: (0.5,),
    masked=masks.exponentials_of_kept,
)
along_axis(
    "log_softmax",
    "torch.log_softmax({0}, {dim})",
    "Logarithm of softmax, exact however small the probability.",
    "\\log\\operatorname*{{softmax}}_{{\\mathrm{{{over}}}}} {0}",
    lambda a: Interval(-(a.upper - a.lower) - math.log(LARGEST_AXIS), 0.0),
    slopes=lambda a, over: (float(LARGEST_AXIS),),
    masked=masks.exponentials_of_kept,
)
along_axis(
    "cumsum",
    "torch.cumsum({0}, {dim})",
    "Cumulative sum along an axis.",
    "\\operatorname*{{cumsum}}_{{\\mathrm{{{over}}}}} {0}",
    lambda a: iv.scale(a, LARGEST_AXIS),
    slopes=lambda a, over: (float(LARGEST_AXIS),),
    masked=masks.as_zeros,
)
SORT = "torch.sort({0}, dim={dim}, descending=True, stable=True)"

along_axis(
    "sort",
    f"{SORT}[0]",
    "Values in descending order along an axis.",
    "\\operatorname*{{sort}}_{{\\mathrm{{{over}}}}} {0}",
    lambda a: a,
    slopes=lambda a, over: (1.0,),
    masked=masks.ordering,
    scatters=lambda node: True,
)


def _unit(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    require_real(operator, arguments)
    one_axis("unit", arguments[0], attributes["over"])
    if not attributes["shortest"] > 0.0:
        raise IllTyped("a shortest norm > 0", str(attributes["shortest"]), "correct `shortest`")
    low, high = arguments[0].type.interval
    return Type(arguments[0].type.axes, Interval(-1.0 if low < 0.0 else 0.0, 1.0 if high > 0.0 else 0.0))


register(
    Operator(
        "unit",
        1,
        _unit,
        "F.normalize({0}, dim={dim}, eps={shortest!r})",
        "Divided by the Euclidean norm along an axis, or by `shortest` where that is larger.",
        # A row of (I - u uᵀ)/‖x‖ sums to (1 + √n)/2‖x‖ at most. The kernel squares, which must not overflow float32.
        slopes=lambda a, over, shortest: (
            (1.0 + math.sqrt(LARGEST_AXIS)) / 2 / shortest if a.magnitude < 1e15 else math.inf,
        ),
        latex="\\frac{{{0}}}{{\\lVert {0} \\rVert_{{\\mathrm{{{over}}}}}}}",
        attributes=(("over", ...), ("shortest", 1e-8)),
        masked=masks.as_zeros,
    )
)


def _has_unit_length(argument: Expr, over: Axes) -> bool:
    """Whether it consists of vectors along `over` of length one at most."""
    while argument.op == "rename" and argument.attr("target") not in over:
        argument = argument.args[0]
    return argument.op == "unit" and argument.attr("over") == over


def _contract(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    require_real(operator, arguments)
    over = attributes["over"]
    for argument in arguments:
        require_axes("contract", argument, over)
    a, b = arguments
    axes = without(union(a.type.axes, b.type.axes), over)
    if _has_unit_length(a, over) and _has_unit_length(b, over):  # by Cauchy and Schwarz
        return Type(axes, Interval(0.0 if a is b else -1.0, 1.0))
    for weights, values in ((a, b), (b, a)):
        if over == (weights.type.simplex,) and a is not b:
            return Type(axes, values.type.interval)
    product = iv.mul(a.type.interval, b.type.interval)
    if a is b:
        product = iv.power(a.type.interval, Interval(2.0, 2.0))
    return Type(axes, iv.scale(product, LARGEST_AXIS))


def _contract_slopes(a: Interval, b: Interval, over: Axes) -> tuple[float, float]:
    return (times(b.magnitude, LARGEST_AXIS), times(a.magnitude, LARGEST_AXIS))


def _is_matrix_product(node: Expr) -> bool:
    """Whether both sides have axes of their own."""
    a, b = (argument.axes for argument in node.args)
    return any(axis not in b for axis in node.axes) and any(axis not in a for axis in node.axes)


def _emit_contract(sources: Sequence[str], node: Expr) -> str:
    """Where both sides have axes of their own, one matrix product; else product and sum."""
    (a, b), kept = (argument.axes for argument in node.args), node.axes
    full = union(a, b)
    if _is_matrix_product(node):
        if len(a) == len(b) == len(kept) == 2:  # without the preparations of einsum
            first, second = (0, 1) if kept[0] in a else (1, 0)
            rows, columns = node.args[first].axes, node.args[second].axes
            left = sources[first] + (".T" if rows[0] != kept[0] else "")
            right = sources[second] + (".T" if columns[1] != kept[1] else "")
            return f"torch.mm({left}, {right})"
        letters = {axis: chr(ord("a") + rank) for rank, axis in enumerate(full)}
        spell = ["".join(letters[axis] for axis in axes) for axes in (a, b, kept)]
        return f"torch.einsum('{spell[0]},{spell[1]}->{spell[2]}', {sources[0]}, {sources[1]})"
    dims = tuple(full.index(axis) for axis in full if axis in node.attr("over"))
    which = "" if not kept else dims[0] if len(dims) == 1 else dims
    return f"({align(sources[0], a, full)} * {align(sources[1], b, full)}).sum({which})"


register(
    Operator(
        "contract",
        2,
        _contract,
        _emit_contract,
        "Sum of products over named axes: inner product, matrix product, Gram matrix.",
        slopes=_contract_slopes,
        latex="\\left\\langle {0}, {1} \\right\\rangle_{{\\mathrm{{{over}}}}}",
        attributes=(("over", ...),),
        commutative=True,
        products=_is_matrix_product,
        masked=masks.contraction,
    )
)


def _squared_difference(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    require_real(operator, arguments)
    a, b = arguments
    for argument in arguments:
        require_axes("squared_difference", argument, attributes["over"])
    over = attributes["over"]
    axes = without(union(a.type.axes, b.type.axes), over)
    if _has_unit_length(a, over) and _has_unit_length(b, over):  # opposite points of the unit sphere are 2 apart
        return Type(axes, Interval(0.0, 4.0))
    square = iv.power(iv.sub(a.type.interval, b.type.interval), Interval(2.0, 2.0))
    return Type(axes, iv.scale(square, LARGEST_AXIS))


_SQUARED_DISTANCES = '''
def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distance of every row of a from every row of b."""
    # |a|² + |b|² - 2ab cancels where rows are close to each other and far from the centre: hence double precision.
    centre = a.mean(0).detach()
    x, y = a - centre, b - centre
    if a.device.type != "mps":  # which has none
        x, y = x.double(), y.double()
    lengths = (x * x).sum(1).unsqueeze(1) + (y * y).sum(1)
    return torch.addmm(lengths, x, y.T, alpha=-2.0).to(a.dtype).clamp_min(0.0)
'''


def _emit_squared_difference(sources: Sequence[str], node: Expr) -> str:
    (a, b), kept = (argument.axes for argument in node.args), node.axes
    if len(a) == len(b) == len(kept) == 2 and set(kept) - set(a) and set(kept) - set(b):
        first, second = (0, 1) if kept[0] in a else (1, 0)
        rows = [source if axes[0] in kept else f"{source}.T" for source, axes in zip(sources, (a, b), strict=True)]
        return f"squared_distances({rows[first]}, {rows[second]})"
    full = union(a, b)
    dims = tuple(full.index(axis) for axis in full if axis in node.attr("over"))
    which = "" if not kept else dims[0] if len(dims) == 1 else dims
    return f"torch.square({align(sources[0], a, full)} - {align(sources[1], b, full)}).sum({which})"


register(
    Operator(
        "squared_difference",
        2,
        _squared_difference,
        _emit_squared_difference,
        "Sum of squared differences over named axes: squared distances, also of every pair.",
        slopes=lambda a, b, over: (times(2.0 * iv.sub(a, b).magnitude, LARGEST_AXIS),) * 2,
        latex="\\left\\lVert {0} - {1} \\right\\rVert^2_{{\\mathrm{{{over}}}}}",
        attributes=(("over", ...),),
        commutative=True,
        helper=_SQUARED_DISTANCES,
        masked=masks.squared_differences,
    )
)


def _rename(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    (argument,), source, target = arguments, attributes["source"], attributes["target"]
    require_axes("rename", argument, (source,))
    ordered_away = target == "rank" and source in ("element", "space")
    if source.rstrip("'") != target.rstrip("'") and not ordered_away:
        raise IllTyped(f"a copy of {source}, such as {source}'", target, "an axis keeps its meaning when renamed")
    simplex = argument.type.simplex
    axes, simplex = _renamed(argument.type.axes, source, target), simplex and _renamed((simplex,), source, target)[0]
    return argument.type._replace(axes=ordered(axes), simplex=simplex)


def _renamed(axes: Axes, source: str, target: str) -> Axes:
    """The axes with one renamed; one that has the new name already takes the old."""
    exchanged = {source: target, target: source}
    return tuple(exchanged.get(axis, axis) for axis in axes)


def _emit_rename(sources: Sequence[str], node: Expr) -> str:
    """A new name moves no data unless the layout order asks for it."""
    renamed = _renamed(node.args[0].axes, node.attr("source"), node.attr("target"))
    if renamed == node.axes:
        return sources[0]
    return f"{sources[0]}.permute({', '.join(str(renamed.index(axis)) for axis in node.axes)})"


register(
    Operator(
        "rename",
        1,
        _rename,
        _emit_rename,
        "The same values with one axis renamed, for pairwise work; transposed where there is one of the new name.",
        slopes=lambda a, **_: (1.0,),
        latex="{0}_{{\\mathrm{{{source}}}\\to\\mathrm{{{target}}}}}",
        attributes=(("source", ...), ("target", ...)),
        masked=masks.renaming,
    )
)


def _diagonal(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    axis = attributes["axis"]
    require_real(operator, arguments)
    require_axes("diagonal", arguments[0], (axis, axis + "'"))
    return Type(without(arguments[0].type.axes, (axis + "'",)), arguments[0].type.interval)


def _emit_diagonal(sources: Sequence[str], node: Expr) -> str:
    axes = node.args[0].axes
    first, second = axes.index(node.attr("axis")), axes.index(node.attr("axis") + "'")
    taken = f"torch.diagonal({sources[0]}, 0, {first}, {second})"
    return taken if len(axes) == 2 else f"{taken}.movedim(-1, {first})"


register(
    Operator(
        "diagonal",
        1,
        _diagonal,
        _emit_diagonal,
        "Entries of a pairwise value at which an axis meets itself.",
        slopes=lambda a, **_: (1.0,),
        latex="\\operatorname{{diag}}({0})",
        attributes=(("axis", ...),),
        masked=masks.diagonals,
        scatters=lambda node: True,
    )
)


def _same(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    axis = attributes["axis"]
    require_real(operator, arguments)
    require_axes("same", arguments[0], (axis,))
    return Type(ordered((axis, axis + "'")), UNIT)


register(
    Operator(
        "same",
        1,
        _same,
        "torch.diag({0}.new_ones([{0}.shape[{axis_dim}]]))",
        "One where an axis meets itself in pairwise work, else zero.",
        slopes=lambda a, **_: (0.0,),
        latex="\\mathbb{{1}}_{{\\mathrm{{{axis}}}}}",
        attributes=(("axis", ...),),
        masked=masks.pairs,
    )
)
