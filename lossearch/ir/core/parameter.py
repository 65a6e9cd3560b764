"""A named number of a loss: its default, the range that is searched, and the values for which it is defined."""

from __future__ import annotations

import math
from dataclasses import dataclass, field, replace

from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.interval import EPSILON
from lossearch.plain_text import is_name
from lossearch.reading import finite

Range = tuple[float, float]

REAL: Range = (-math.inf, math.inf)
NON_NEGATIVE: Range = (0.0, math.inf)
POSITIVE: Range = (EPSILON, math.inf)
"""From the value at which a guard holds a denominator away from zero."""


@dataclass(frozen=True)
class Parameter:
    """A named number of a loss.

    `default` lies in [lower, upper]. `tunable` parameters are tuned on validation data by comparisons, over a
    logarithmic grid where `log`; `learnable` ones become `nn.Parameter`s of the module.

    [lower, upper] is what a search or a comparison may reach: there, value and gradient are known to stay finite in
    float32. Tuning begins in `search`, the values that are likely (default: all of the bounds), and goes on towards
    the bounds where the best value lies at an edge. A user may choose any value for which the loss is `defined`, which
    may be more and have infinite ends (default: the bounds).
    """

    name: str
    default: float
    lower: float
    upper: float
    tunable: bool = False
    learnable: bool = False
    log: bool = False
    search: Range | None = field(default=None, repr=False)  # see Graph.key
    defined: Range | None = field(default=None, repr=False)

    def __post_init__(self) -> None:
        if not is_name(self.name):
            raise UserError("a parameter name that is an identifier", repr(self.name), "rename the parameter")
        for name in ("default", "lower", "upper"):  # 1 and 1.0 must make one node
            number = finite(getattr(self, name))
            if number is None:
                found = f"{name} {getattr(self, name)!r:.80}"
                raise UserError(f"finite default and bounds of {self.name}", found, "give finite numbers")
            object.__setattr__(self, name, number)
        if self.log and self.lower <= 0.0:
            raise UserError(f"a lower bound > 0 for the log scale of {self.name}", f"{self.lower:g}", "raise it")
        if not self.lower <= self.default <= self.upper:
            raise UserError(
                f"{self.name} in [{self.lower:g}, {self.upper:g}]", f"{self.default:g}", "choose a value in the range"
            )
        if self.search is not None:
            low, high = (math.nan if (end := finite(given)) is None else end for given in self.search)
            object.__setattr__(self, "search", (low, high))
            if not self.lower <= low < high <= self.upper:
                bounds = f"a range to search of {self.name} within [{self.lower:g}, {self.upper:g}]"
                raise UserError(bounds, f"[{low:g}, {high:g}]", "give its lower and upper end")
        if self.defined is not None:
            low, high = map(float, self.defined)
            object.__setattr__(self, "defined", (low, high))
            if not low <= self.lower <= self.upper <= high:
                bounds = f"values for which {self.name} is defined that enclose [{self.lower:g}, {self.upper:g}]"
                raise UserError(bounds, f"[{low:g}, {high:g}]", "give the lowest and the highest")

    @property
    def searched(self) -> Range:
        """The range in which tuning begins, with the default in it."""
        low, high = (self.lower, self.upper) if self.search is None else self.search
        return min(low, self.default), max(high, self.default)

    @property
    def node(self) -> Expr:
        """The graph node for this parameter."""
        return Expr.make("parameter", name=self.name, axes=(), lower=self.lower, upper=self.upper)

    @property
    def domain(self) -> str:
        """The values for which the loss is defined, as a reader writes them: `gamma ≥ 0`."""
        low, high = (self.lower, self.upper) if self.defined is None else self.defined
        if (low, high) == REAL:
            return f"any {self.name}"
        if math.isinf(high):
            return f"{self.name} > 0" if low == EPSILON else f"{self.name} ≥ {low:g}"
        return f"{self.name} ≤ {high:g}" if math.isinf(low) else f"{self.name} in [{low:g}, {high:g}]"

    def at(self, value: float) -> Parameter:
        """The parameter with another default; bounds that are narrower than what is defined make room for it.

        Raises `UserError` for a value for which the loss is not defined.
        """
        low, high = (self.lower, self.upper) if self.defined is None else self.defined
        number = finite(value)
        if number is None or not low <= number <= high:
            found = f"{value!r:.80}" if number is None else f"{number:g}"
            raise UserError(self.domain, found, "choose a value for which the loss is defined")
        lower, upper = min(self.lower, number), max(self.upper, number)
        return replace(self, default=number, lower=lower, upper=upper, log=self.log and lower > 0.0)
