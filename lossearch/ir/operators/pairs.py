"""Products and differences over named axes, and what pairwise work needs: axes renamed, and diagonals. One row each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lossearch.ir.core import interval as iv
from lossearch.ir.core.axes import LARGEST_AXIS, Axes, align, ordered, union, without
from lossearch.ir.core.interval import UNIT, Interval, times
from lossearch.ir.core.operator import Helper, Operator, register, require_real
from lossearch.ir.core.types import IllTyped, Type
from lossearch.ir.operators import masks
from lossearch.ir.operators.reductions import require_axes

if TYPE_CHECKING:
    from lossearch.ir.core.expr import Expr


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


_SQUARED_DISTANCES = Helper(
    "squared_distances",
    '''
def squared_distances(a: Tensor, b: Tensor) -> Tensor:
    """Squared distance of every row of a from every row of b."""
    # |a|² + |b|² - 2ab cancels where rows are close to each other and far from the centre: hence double precision.
    centre = a.mean(0).detach()
    x, y = a - centre, b - centre
    if a.device.type != "mps":  # which has none
        x, y = x.double(), y.double()
    lengths = (x * x).sum(1).unsqueeze(1) + (y * y).sum(1)
    return torch.addmm(lengths, x, y.T, alpha=-2.0).to(a.dtype).clamp_min(0.0)
''',
)


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
