"""Operators over named axes of one argument: reductions, normalisations, orderings: one row each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lossearch.ir.core import interval as iv
from lossearch.ir.core.axes import LARGEST_AXIS, Axes, check_axis, without
from lossearch.ir.core.interval import UNIT, Interval
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
    "torch.logsumexp({0}, {dim})",
    "Logarithm of the sum of exponentials over named axes.",
    "\\operatorname*{{logsumexp}}_{{\\mathrm{{{over}}}}} {0}",
    lambda a: Interval(a.lower, a.upper + math.log(LARGEST_AXIS)),
    masked=masks.exponentials_of_kept,
)
reduction(
    "norm",
    "torch.linalg.vector_norm({0}, dim={dim})",
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
