"""Operators that fail where an axis is empty, in a program of torch.export's, which cannot branch on a length."""

from __future__ import annotations

from lossearch.ir.core.axes import RESOLUTIONS
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.operator import OPERATORS

POSSIBLY_EMPTY = ("batch", "element", "rank", *RESOLUTIONS)
"""Axes whose length is the user's data; the others, such as classes, have an entry in any case."""


def with_neutral_entry(node: Expr) -> Expr:
    """The node with arguments that have a further entry along what may be empty, neutral as the operator declares."""
    neutral = OPERATORS[node.op].neutral
    over = tuple(axis for axis in node.attr("over") if axis.rstrip("'") in POSSIBLY_EMPTY) if neutral else ()
    if not over:
        return node
    extended = [
        Expr.make("extended", (argument,), over=over, value=value)
        for argument, value in zip(node.args, neutral, strict=True)
    ]
    return node.with_args(extended)
