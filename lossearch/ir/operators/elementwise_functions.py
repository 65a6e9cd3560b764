"""Elementwise functions beyond arithmetic: sigmoids, angles, comparisons and choices; one row each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

from lossearch.ir.core.interval import LARGEST_EXPONENT, UNIT, Interval
from lossearch.ir.core.operator import FREE, Attribute, Domain, Operator, register, require_real
from lossearch.ir.core.types import IllTyped, Type
from lossearch.ir.operators.elementwise import NON_NEGATIVE, SMALLEST_WHOLE, broadcast_axes, elementwise

if TYPE_CHECKING:
    from lossearch.ir.core.expr import Expr

COSINE = Interval(-1.0, 1.0)
NEARLY_COSINE = Interval(-1.0 + 1e-7, 1.0 - 1e-7)


def _sigmoid(a: float) -> float:
    return 1.0 / (1.0 + math.exp(-a)) if a >= 0 else math.exp(a) / (1.0 + math.exp(a))


def _coshm1(a: float) -> float:
    return 2.0 * math.sinh(a / 2.0) ** 2


def _softplus(a: float) -> float:
    return max(a, 0.0) + math.log1p(math.exp(-abs(a)))


elementwise(
    "sigmoid",
    1,
    "torch.sigmoid({0})",
    "1 / (1 + e^-x).",
    slopes=lambda a: (0.25,),
    latex="\\sigma({0})",
    sympy=lambda s, a: 1 / (1 + s.exp(-a)),
    value=_sigmoid,
)
elementwise(
    "softplus",
    1,
    "F.softplus({0})",
    "log(1 + e^x).",
    slopes=lambda a: (1.0,),
    latex="\\operatorname{{softplus}}({0})",
    sympy=lambda s, a: s.log(1 + s.exp(a)),
    value=_softplus,
)
elementwise(
    "tanh",
    1,
    "torch.tanh({0})",
    "Hyperbolic tangent.",
    slopes=lambda a: (1.0,),
    latex="\\tanh({0})",
    sympy=lambda s, a: s.tanh(a),
    value=math.tanh,
)
elementwise(
    "coshm1",
    1,
    "torch.expm1({0}) * torch.expm1(-{0}) / -2",  # the factors are exact near zero, and so is their product
    "cosh x - 1, exact near zero; held beyond ±60.",
    range=lambda a: Interval(_coshm1(min(a.mignitude, LARGEST_EXPONENT)), _coshm1(min(a.magnitude, LARGEST_EXPONENT))),
    slopes=lambda a: (math.sinh(min(a.magnitude, LARGEST_EXPONENT)),),
    latex="(\\cosh({0}) - 1)",
    sympy=lambda s, a: s.cosh(a) - 1,
    value=_coshm1,
    domain=(Domain(guarded=Interval(-LARGEST_EXPONENT, LARGEST_EXPONENT)),),
)
for _name, _cofunction in (("sin", math.cos), ("cos", math.sin)):
    elementwise(
        _name,
        1,
        f"torch.{_name}({{0}})",
        "Sine." if _name == "sin" else "Cosine.",
        range=lambda a: COSINE,
        slopes=lambda a: (1.0,),
        latex=f"\\{_name}({{0}})",
        sympy=lambda s, a, _name=_name: getattr(s, _name)(a),
        value=getattr(math, _name),
    )
for _name, _direction in (("asin", 1), ("acos", -1)):
    elementwise(
        _name,
        1,
        f"torch.{_name}({{0}})",
        "Inverse sine of a value in [-1, 1]." if _name == "asin" else "Inverse cosine of a value in [-1, 1].",
        slopes=lambda a: (1.0 / math.sqrt(1.0 - a.magnitude**2),),
        latex=f"\\arc{_name[1:]}({{0}})",
        sympy=lambda s, a, _name=_name: getattr(s, _name)(a),
        value=getattr(math, _name),
        domain=(Domain(COSINE, NEARLY_COSINE),),
    )
elementwise(
    "atan",
    1,
    "torch.atan({0})",
    "Inverse tangent.",
    slopes=lambda a: (1.0,),
    latex="\\arctan({0})",
    sympy=lambda s, a: s.atan(a),
    value=math.atan,
)


def _angles(a: Interval, b: Interval) -> Interval:
    """From the lowest angle to the highest: at the ends of a, with b nearest to zero where that makes it steeper."""
    low = math.atan2(a.lower, b.lower if a.lower < 0.0 else b.upper)
    return Interval(low, math.atan2(a.upper, b.lower if a.upper > 0.0 else b.upper))


elementwise(
    "atan2",
    2,
    "torch.atan2({0}, {1})",
    "Inverse tangent of a/b for b ≥ 0, however small both are: an angle in [-π/2, π/2].",
    range=_angles,
    slopes=lambda a, b: (1.0 / b.lower,) * 2,
    latex="\\arctan\\frac{{{0}}}{{{1}}}",
    sympy=lambda s, a, b: s.atan2(a, b),
    value=math.atan2,
    domain=(FREE, Domain(NON_NEGATIVE, Interval(SMALLEST_WHOLE, math.inf))),
)


def _comparison(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Attribute]) -> Type:
    require_real(operator, arguments)
    return Type(broadcast_axes(arguments), UNIT, "boolean")


for _name, _symbol, _relation in (("less", "<", "Lt"), ("greater", ">", "Gt")):
    register(
        Operator(
            _name,
            2,
            _comparison,
            f"{{0}} {_symbol} {{1}}",
            f"Whether a {_symbol} b; a condition for `where`.",
            slopes=lambda a, b: (0.0, 0.0),
            latex=f"{{0}} {_symbol} {{1}}",
            sympy=lambda s, a, b, _relation=_relation: getattr(s, _relation)(a, b),
            elementwise=True,
        )
    )


def _where(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Attribute]) -> Type:
    condition, first, second = arguments
    if condition.type.kind != "boolean":
        raise IllTyped("where needs a condition first", str(condition.type), "compare with less or greater")
    require_real(operator, (first, second))
    return Type(broadcast_axes(arguments), first.type.interval.hull(second.type.interval))


register(
    Operator(
        "where",
        3,
        _where,
        "torch.where({0}, {1}, {2})",
        "The second argument where the condition holds, else the third.",
        slopes=lambda c, a, b: (0.0, 1.0, 1.0),
        latex="\\begin{{cases}} {1} & {0} \\\\ {2} & \\text{{otherwise}} \\end{{cases}}",
        sympy=lambda s, c, a, b: s.Piecewise((a, c), (b, True)),
        elementwise=True,
        condition=True,
    )
)
elementwise(
    "stop_gradient",
    1,
    "{0}.detach()",
    "The value, through which no gradient flows.",
    range=lambda a: a,
    slopes=lambda a: (0.0,),
    latex="\\operatorname{{sg}}[{0}]",
    sympy=lambda s, a: s.Function("sg")(a),
)
