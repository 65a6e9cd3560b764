"""The type of a node: named axes, bounds on its value, and what kind of number it holds."""

from __future__ import annotations

from typing import Literal, NamedTuple

from lossearch.errors import UserError
from lossearch.ir.core.axes import Axes
from lossearch.ir.core.interval import Interval

Kind = Literal["real", "boolean", "index"]


class Type(NamedTuple):
    """Named axes and an interval; `simplex` names the axis over which values are ≥ 0 and sum to one."""

    axes: Axes
    interval: Interval
    kind: Kind = "real"
    simplex: str | None = None

    def __str__(self) -> str:
        kind = "" if self.kind == "real" else f"{self.kind} "
        sums = f", sums to 1 over {self.simplex}" if self.simplex else ""
        return f"{kind}[{', '.join(self.axes)}] in {self.interval}{sums}"


class IllTyped(UserError):
    """An expression whose arguments do not fit its operator."""
