"""Leaves and elementwise arithmetic: one row each."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from lossearch.ir.core import interval as iv
from lossearch.ir.core.axes import Axes, ordered, union
from lossearch.ir.core.interval import EPSILON, LARGEST_EXPONENT, Interval, times
from lossearch.ir.core.operator import FREE, Attribute, Domain, Operator, guarded_intervals, register, require_real
from lossearch.ir.core.types import IllTyped, Type

if TYPE_CHECKING:
    from lossearch.ir.core.expr import Expr

RangeRule = Callable[..., Interval]

NON_NEGATIVE = Interval(0.0, math.inf)


def broadcast_axes(arguments: Sequence[Expr]) -> Axes:
    """The union of the arguments' axes."""
    axes: Axes = ()
    for argument in arguments:
        axes = union(axes, argument.type.axes)
    return axes


def elementwise(name: str, arity: int, emit: str, doc: str, *, range: RangeRule | None = None, **fields: Any) -> None:
    """Register an elementwise operator; without `range` it is monotone and its ends give the range."""
    value = fields.get("value")

    def rule(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Attribute]) -> Type:
        require_real(operator, arguments)
        intervals = guarded_intervals(operator, arguments)
        if range is not None:
            interval = range(*intervals, **attributes)
        else:
            assert value is not None, "a row needs a range rule or a monotone value"
            interval = iv.monotone(value, intervals[0])
        return Type(broadcast_axes(arguments), interval)

    register(Operator(name, arity, rule, emit, doc, elementwise=True, **fields))


def _leaf(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    if attributes["lower"] > attributes["upper"]:
        found = f"[{attributes['lower']}, {attributes['upper']}]"
        raise IllTyped("bounds with lower ≤ upper", found, f"correct the bounds of {attributes['name']}")
    interval = Interval(float(attributes["lower"]), float(attributes["upper"]))
    simplex = attributes.get("simplex") or None
    return Type(ordered(attributes["axes"]), interval, attributes.get("kind", "real"), simplex)


def _constant(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    value = attributes["value"]
    if not math.isfinite(value):
        raise IllTyped("a finite constant", str(value), "use a finite number")
    return Type((), Interval(value, value))


LEAF = (("name", ...), ("axes", ...), ("lower", ...), ("upper", ...))
register(
    Operator(
        "input",
        0,
        _leaf,
        "{name}",
        "A tensor that the signature provides.",
        attributes=(*LEAF, ("kind", "real"), ("simplex", "")),
    )
)
register(Operator("parameter", 0, _leaf, "{name}", "A named, bounded number of the loss.", attributes=LEAF))
register(
    Operator("constant", 0, _constant, "{value!r}", "A number.", slopes=lambda **_: (), attributes=(("value", ...),))
)


def _one(*_: Interval) -> tuple[float, float]:
    return (1.0, 1.0)


def _is_integer(exponent: Interval) -> bool:
    return exponent.lower == exponent.upper and exponent.lower.is_integer()


def _pow_domain(base: Interval, exponent: Interval) -> tuple[Domain, Domain]:
    """A constant integer exponent takes any base (a negative one, a nonzero base); others need a base ≥ 0.

    Below one, the slope has a pole at zero; below two, the second derivative has: the base is held away from zero.
    """
    if _is_integer(exponent):
        return (FREE if exponent.lower >= 0.0 else Domain(nonzero=True), FREE)
    return (Domain(NON_NEGATIVE, Interval(EPSILON, math.inf)), FREE)


def _pow_slopes(base: Interval, exponent: Interval) -> tuple[float, float]:
    lowered = Interval(exponent.lower - 1.0, exponent.upper - 1.0)
    steepness = iv.power(base, lowered).magnitude if base.lower > 0.0 or _is_integer(exponent) else math.inf
    logarithm = max(abs(math.log(max(end, EPSILON))) for end in base) if base.upper < math.inf else math.inf
    return (times(exponent.magnitude, steepness), times(iv.power(base, exponent).magnitude, logarithm))


def _clamp_range(a: Interval, lower: float, upper: float) -> Interval:
    if lower > upper:
        raise IllTyped("clamp with lower ≤ upper", f"[{lower:g}, {upper:g}]", "exchange the bounds")
    return _clamp_max_range(_clamp_min_range(a, lower), upper)


def _clamp_min_range(a: Interval, lower: float) -> Interval:
    return a.clip(_finite(lower), math.inf)


def _clamp_max_range(a: Interval, upper: float) -> Interval:
    return a.clip(-math.inf, _finite(upper))


def _finite(bound: float) -> float:
    if not math.isfinite(bound):
        raise IllTyped("finite bounds", f"{bound}", "use clamp_min or clamp_max for one bound")
    return bound


def _square_aware_mul(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Attribute]) -> Type:
    require_real(operator, arguments)
    a, b = arguments
    if a is b:
        return Type(a.type.axes, iv.power(a.type.interval, Interval(2.0, 2.0)))
    return Type(union(a.type.axes, b.type.axes), iv.mul(a.type.interval, b.type.interval))


elementwise(
    "add",
    2,
    "{0} + {1}",
    "Sum.",
    range=iv.add,
    slopes=_one,
    latex="{0} + {1}",
    sympy=lambda s, a, b: a + b,
    value=lambda a, b: a + b,
    symbol=("+", 1),
    commutative=True,
)
elementwise(
    "sub",
    2,
    "{0} - {1}",
    "Difference.",
    range=iv.sub,
    slopes=_one,
    latex="{0} - {1}",
    sympy=lambda s, a, b: a - b,
    value=lambda a, b: a - b,
    symbol=("-", 1),
)
register(
    Operator(
        "mul",
        2,
        _square_aware_mul,
        "{0} * {1}",
        "Product.",
        slopes=lambda a, b: (b.magnitude, a.magnitude),
        latex="{0} \\, {1}",
        sympy=lambda s, a, b: a * b,
        value=lambda a, b: a * b,
        elementwise=True,
        symbol=("*", 2),
        commutative=True,
    )
)
elementwise(
    "div",
    2,
    "{0} / {1}",
    "Quotient; the denominator must lie on one side of zero.",
    range=lambda a, b: iv.mul(a, iv.reciprocal(b)),
    slopes=lambda a, b: (1.0 / b.mignitude, times(a.magnitude, 1.0 / b.mignitude / b.mignitude)),
    latex="\\frac{{{0}}}{{{1}}}",
    sympy=lambda s, a, b: a / b,
    value=lambda a, b: a / b,
    domain=(Domain(), Domain(nonzero=True)),
    symbol=("/", 2),
)
SMALLEST_WHOLE = 1e-18
"""What a smaller whole counts as in a fraction: its square, by which derivatives divide, is a number in float32."""


elementwise(
    "fraction",
    2,
    "torch.clamp_max({0} / {1}, 1.0)",
    "A part of a whole, 0 ≤ part ≤ whole, relative to it: in [0, 1], and 0 of a whole that is 0.",
    range=lambda a, b: Interval(min(a.lower / b.upper, 1.0), min(a.upper / b.lower, 1.0)),
    slopes=lambda a, b: (1.0 / b.lower,) * 2,
    latex="\\frac{{{0}}}{{{1}}}",
    sympy=lambda s, a, b: a / b,
    value=lambda a, b: min(a / b, 1.0),
    domain=(Domain(NON_NEGATIVE), Domain(NON_NEGATIVE, Interval(SMALLEST_WHOLE, math.inf))),
)
elementwise(
    "pow",
    2,
    "{0} ** {1}",
    "Power; the base must be ≥ 0 unless the exponent is a constant integer.",
    range=iv.power,
    slopes=_pow_slopes,
    domain=_pow_domain,
    latex="{{{0}}}^{{{1}}}",
    sympy=lambda s, a, b: a**b,
    value=math.pow,
    symbol=("**", 4),
)
elementwise(
    "neg",
    1,
    "-{0}",
    "Negation.",
    slopes=lambda a: (1.0,),
    latex="-{0}",
    sympy=lambda s, a: -a,
    value=lambda a: -a,
)
elementwise(
    "exp",
    1,
    "torch.exp({0})",
    "Exponential, held at e^60 above 60.",
    slopes=lambda a: (math.exp(min(a.upper, LARGEST_EXPONENT)),),
    latex="e^{{{0}}}",
    sympy=lambda s, a: s.exp(a),
    value=math.exp,
    domain=(Domain(guarded=Interval(-math.inf, LARGEST_EXPONENT)),),
)
elementwise(
    "log",
    1,
    "torch.log({0})",
    "Natural logarithm of a value ≥ 0.",
    slopes=lambda a: (1.0 / a.lower,),
    latex="\\log {0}",
    sympy=lambda s, a: s.log(a),
    value=math.log,
    domain=(Domain(NON_NEGATIVE, Interval(EPSILON, math.inf)),),
)
elementwise(
    "log1p",
    1,
    "torch.log1p({0})",
    "log(1 + x) for x ≥ -1, exact near zero.",
    slopes=lambda a: (1.0 / (1.0 + a.lower),),
    latex="\\log(1 + {0})",
    sympy=lambda s, a: s.log(1 + a),
    value=math.log1p,
    domain=(Domain(Interval(-1.0, math.inf), Interval(-1.0 + 1e-7, math.inf)),),
)
elementwise(
    "expm1",
    1,
    "torch.expm1({0})",
    "e^x - 1, exact near zero; held above 60.",
    slopes=lambda a: (math.exp(min(a.upper, LARGEST_EXPONENT)),),
    latex="(e^{{{0}}} - 1)",
    sympy=lambda s, a: s.exp(a) - 1,
    value=math.expm1,
    domain=(Domain(guarded=Interval(-math.inf, LARGEST_EXPONENT)),),
)
elementwise(
    "sqrt",
    1,
    "torch.sqrt({0})",
    "Square root of a value ≥ 0.",
    slopes=lambda a: (0.5 / math.sqrt(a.lower),),
    latex="\\sqrt{{{0}}}",
    sympy=lambda s, a: s.sqrt(a),
    value=math.sqrt,
    domain=(Domain(NON_NEGATIVE, Interval(EPSILON, math.inf)),),
)
elementwise(
    "abs",
    1,
    "torch.abs({0})",
    "Absolute value.",
    range=lambda a: Interval(a.mignitude, a.magnitude),
    slopes=lambda a: (1.0,),
    latex="\\left|{0}\\right|",
    sympy=lambda s, a: s.Abs(a),
    value=abs,
)
elementwise(
    "sign",
    1,
    "torch.sign({0})",
    "Sign; its gradient is zero.",
    slopes=lambda a: (0.0,),
    latex="\\operatorname{{sign}} {0}",
    sympy=lambda s, a: s.sign(a),
    value=lambda a: float((a > 0) - (a < 0)),
)
elementwise(
    "square",
    1,
    "torch.square({0})",
    "Square.",
    range=lambda a: iv.power(a, Interval(2.0, 2.0)),
    slopes=lambda a: (2.0 * a.magnitude,),
    latex="{{{0}}}^2",
    sympy=lambda s, a: a**2,
    value=lambda a: a * a,
)
elementwise(
    "minimum",
    2,
    "torch.minimum({0}, {1})",
    "The smaller of two values.",
    range=lambda a, b: Interval(min(a[0], b[0]), min(a[1], b[1])),
    slopes=_one,
    latex="\\min({0}, {1})",
    sympy=lambda s, a, b: s.Min(a, b),
    emit_number="torch.clamp_max({0}, {1})",
    value=min,
    commutative=True,
)
elementwise(
    "maximum",
    2,
    "torch.maximum({0}, {1})",
    "The larger of two values.",
    range=lambda a, b: Interval(max(a[0], b[0]), max(a[1], b[1])),
    slopes=_one,
    latex="\\max({0}, {1})",
    sympy=lambda s, a, b: s.Max(a, b),
    emit_number="torch.clamp_min({0}, {1})",
    value=max,
    commutative=True,
)
elementwise(
    "clamp",
    1,
    "torch.clamp({0}, {lower!r}, {upper!r})",
    "The value held between two constants.",
    range=_clamp_range,
    slopes=lambda a, **_: (1.0,),
    latex="\\operatorname{{clamp}}({0}, {lower}, {upper})",
    sympy=lambda s, a, lower, upper: s.Min(s.Max(a, lower), upper),
    value=lambda a, lower, upper: min(max(a, lower), upper),
    attributes=(("lower", ...), ("upper", ...)),
)
elementwise(
    "clamp_min",
    1,
    "torch.clamp_min({0}, {lower!r})",
    "The value, or a constant where that is larger.",
    range=_clamp_min_range,
    slopes=lambda a, **_: (1.0,),
    latex="\\max({0}, {lower})",
    sympy=lambda s, a, lower: s.Max(a, lower),
    value=lambda a, lower: max(a, lower),
    attributes=(("lower", ...),),
)
elementwise(
    "clamp_max",
    1,
    "torch.clamp_max({0}, {upper!r})",
    "The value, or a constant where that is smaller.",
    range=_clamp_max_range,
    slopes=lambda a, **_: (1.0,),
    latex="\\min({0}, {upper})",
    sympy=lambda s, a, upper: s.Min(a, upper),
    value=lambda a, upper: min(a, upper),
    attributes=(("upper", ...),),
)
elementwise(
    "relu",
    1,
    "torch.relu({0})",
    "max(x, 0).",
    slopes=lambda a: (1.0,),
    latex="\\left[{0}\\right]_+",
    sympy=lambda s, a: s.Max(a, 0),
    value=lambda a: max(a, 0.0),
)
