"""What an operator is: one declaration, from which everything else derives.

Type check, emission, constant folding, guards, text, LaTeX, SymPy, docs and search all read the fields below; no
second table exists anywhere.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from types import ModuleType
from typing import TYPE_CHECKING, Any, Literal

from lossearch.errors import UserError
from lossearch.ir.core.interval import EPSILON, REAL, SMALLEST_DENOMINATOR, Interval
from lossearch.ir.core.types import IllTyped, Type
from lossearch.registry import Registry

if TYPE_CHECKING:
    from lossearch.ir.core.expr import Expr

Attribute = str | int | float | bool | tuple[str, ...] | tuple[float, ...]
Attributes = tuple[tuple[str, Attribute], ...]
TypeRule = Callable[["Operator", Sequence["Expr"], dict[str, Attribute]], Type]
SlopeRule = Callable[..., tuple[float, ...]]
Emitter = str | Callable[..., str]
Masks = Sequence["Expr | None"]
Treated = tuple["Expr", "Expr | None"]
MaskRule = Callable[["Expr", Masks], Treated]


def axes_in(value: Attribute) -> tuple[str, ...]:
    """The axes that an attribute lists; none where it holds something else, such as numbers."""
    return tuple(part for part in value if isinstance(part, str)) if isinstance(value, tuple) else ()


@dataclass(frozen=True)
class Domain:
    """Where an argument may lie, and where a guard holds it.

    An argument whose interval leaves `required` is ill-typed. One that may touch a point where value or gradient
    blows up is clamped into `guarded` when the graph is lowered, unless its interval proves that it cannot.
    `nonzero` asks for an argument on one side of zero, and keeps one that may reach zero EPSILON away from it.
    """

    required: Interval = REAL
    guarded: Interval = REAL
    nonzero: bool = False


FREE = Domain()


@dataclass(frozen=True)
class Helper:
    """Torch source of a function that an emitted expression calls, where one expression cannot say it.

    Attributes:
        name: Name of the function.
        source: Its definition.
    """

    name: str
    source: str


ClassWeights = Literal["", "likelihood", "smoothed likelihood", "by number"]
"""How class weights enter a primitive, as PyTorch has it.

"likelihood": they multiply the log-probability of each class, which for an integer label weighs the element.
"smoothed likelihood": the same, where an integer label has a share of every class.
"by number": they weigh elements, and the mean divides by the number of these, as `multi_margin_loss` does.
"""


@dataclass(frozen=True)
class Operator:
    """One elementary operator, or one primitive (a named composition that can be expanded).

    Attributes:
        name: Name in the text and JSON forms and in Python.
        arity: Number of expression arguments.
        rule: From arguments and attributes to the result's type; raises `IllTyped`.
        emit: Torch source with `{0}` … for the arguments (aligned for broadcasting where `elementwise`), `{dim}` for
            the position of `over` or `along` in the first argument, `{dims}` for the same as a method of tensors takes
            it, nothing where it means all, `{shape}` for the spatial shape, and attribute names; or a function of
            (argument sources, node) where a template cannot say it.
        emit_number: Of an operator of two tensors, the source with a tensor as `{0}` and a Python number as `{1}`.
        condition: Whether the first argument is a condition that chooses among the others.
        slopes: Bounds of |∂result/∂argument| from the arguments' intervals, for the range check.
        latex: LaTeX template.
        sympy: Builds the SymPy form of an elementwise operator from (sympy module, arguments).
        value: Value on plain floats, for constant folding.
        domain: One `Domain` per argument, or a function from the arguments' intervals to them.
        attributes: Names of attributes with their defaults; `...` marks a required one.
        masked: How it leaves out ignored elements (`masks.py`), where it is not elementwise; without it a loss that has
            it takes no labels to ignore.
        neutral: Per argument, the value that a further entry along `over` may have without changing anything, for an
            operator whose torch source fails where there is no entry.
        elementwise: Whether it acts on each element alone, with broadcasting over the union of axes.
        symbol: Infix symbol and binding strength, where it has one.
        commutative: Whether its arguments may be exchanged.
        internal: Made only by lowering and exports; not for users or search.
        products: Whether a node multiplies matrices or convolves, whose gradients autocast would take in bfloat16.
        scatters: Whether a node's torch source or its gradient writes to places that it computes, which torch.compile
            may order wrongly among fused kernels (`compile/inductor.py`).
        helper: The function that the emitted expression may call.
        expand: For a primitive, the function that traces its body; None for an elementary operator.
        family: For a primitive, the file's family.
        class_weights: For a primitive of class scores, how class weights enter it other than as a weight of each
            element, see `ClassWeights`.
        doc: One line for the docs.
    """

    name: str
    arity: int
    rule: TypeRule
    emit: Emitter
    doc: str
    slopes: SlopeRule = lambda *intervals, **attributes: tuple(math.inf for _ in intervals)
    latex: str = ""
    sympy: Callable[..., Any] | None = None
    value: Callable[..., float] | None = None
    domain: tuple[Domain, ...] | Callable[..., tuple[Domain, ...]] = ()
    attributes: tuple[tuple[str, Any], ...] = ()
    masked: MaskRule | None = None
    neutral: tuple[float, ...] = ()
    elementwise: bool = False
    symbol: tuple[str, int] | None = None
    commutative: bool = False
    internal: bool = False
    products: Callable[[Expr], bool] = lambda node: False
    scatters: Callable[[Expr], bool] = lambda node: False
    helper: Helper | None = None
    emit_number: str = ""
    condition: bool = False
    expand: Callable[..., Expr] | None = None
    family: str = ""
    class_weights: ClassWeights = ""

    def domains(self, *intervals: Interval) -> tuple[Domain, ...]:
        """The domains of the arguments, or nothing where all are free."""
        return self.domain(*intervals) if callable(self.domain) else self.domain

    def to_sympy(self, module: ModuleType, *arguments: Any) -> Any:
        """The SymPy form of this operator applied to SymPy arguments."""
        if self.sympy is None:
            raise UserError("an elementwise operator", self.name, "only elementwise operators have a SymPy form")
        return self.sympy(module, *arguments)


OPERATORS: Registry[Operator] = Registry("an operator")
"""Every operator and primitive by name. Other packages add theirs through the group that `PRIMITIVES` names."""

INFIX: dict[str, Operator] = {}
"""The operators that are written between their arguments, by symbol."""


def register(operator: Operator) -> Operator:
    """Add an operator to the table; a name can be taken only once."""
    if operator.symbol is not None:
        INFIX[operator.symbol[0]] = operator
    return OPERATORS.add(operator.name, operator)


lookup = OPERATORS.find
"""The operator of this name; raises `UserError` where there is none."""


def require_real(operator: Operator, arguments: Sequence[Expr]) -> None:
    """Refuse boolean and index arguments."""
    for position, argument in enumerate(arguments):
        if argument.type.kind != "real":
            raise IllTyped(
                f"{operator.name} needs real numbers as argument {position + 1}",
                str(argument.type),
                "convert a condition with where(condition, 1, 0)",
            )


def guarded_intervals(operator: Operator, arguments: Sequence[Expr]) -> list[Interval]:
    """The arguments' intervals after checking `required` and clipping to `guarded`."""
    intervals = [argument.type.interval for argument in arguments]
    domains = operator.domains(*intervals)
    if not domains:
        return intervals
    pairs = zip(domains, intervals, strict=True)
    return [_checked(operator.name, position, *pair) for position, pair in enumerate(pairs)]


def _checked(name: str, position: int, domain: Domain, interval: Interval) -> Interval:
    if domain is FREE:
        return interval
    inside = domain.required.lower <= interval.lower and interval.upper <= domain.required.upper
    is_zero = interval.lower == interval.upper == 0.0
    one_sided = not domain.nonzero or not (is_zero or interval.lower < 0.0 < interval.upper)
    if not inside or not one_sided:
        needed = "on one side of zero" if domain.nonzero else f"in {domain.required}"
        raise IllTyped(
            f"{name} needs argument {position + 1} {needed}",
            f"a value in {interval}",
            "bound it first (clamp, abs, sigmoid, adding a constant …)",
        )
    return guard_interval(domain, interval)


def guard_interval(domain: Domain, interval: Interval) -> Interval:
    """The interval of an argument once its guard is in place."""
    if not domain.nonzero:
        return interval.clip(*domain.guarded)
    if interval.mignitude >= SMALLEST_DENOMINATOR:
        return interval
    return interval.clip(EPSILON, math.inf) if interval.lower >= 0.0 else interval.clip(-math.inf, -EPSILON)
