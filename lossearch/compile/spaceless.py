"""Graphs for inputs without spatial axes: `space` disappears instead of becoming an axis of length one."""

from __future__ import annotations

from collections.abc import Sequence

from lossearch.ir.core.axes import without
from lossearch.ir.core.expr import Expr, constant, postorder
from lossearch.ir.core.types import IllTyped

SPACE = "space"
REDUCTIONS = ("sum", "mean", "max", "min", "logsumexp")


def without_space(roots: Sequence[Expr]) -> list[Expr] | None:
    """The same values with no `space` axis, or None where an operator needs one or only a number would be left."""
    done: dict[Expr, Expr] = {}
    for node in postorder(roots):
        try:
            changed = _changed(node, [done[argument] for argument in node.args])
        except IllTyped:  # an operator on neighbourhoods or positions
            return None
        if changed is None:
            return None
        done[node] = changed
    changed = [done[root] for root in roots]
    tensors = any(leaf.op == "input" and leaf.type.kind == "real" for root in changed for leaf in root.leaves)
    return changed if tensors else None


def _changed(node: Expr, args: Sequence[Expr]) -> Expr | None:
    attributes = dict(node.attrs)
    if not node.args:
        if SPACE not in node.axes:
            return node
        return Expr.make(node.op, **{**attributes, "axes": without(node.axes, (SPACE,))})
    over = attributes.get("over")
    if isinstance(over, tuple) and SPACE in over:
        attributes["over"] = over = without(over, (SPACE,))
        if not over:
            return _over_one_entry(node.op, args)
    return Expr.make(node.op, args, **attributes)


def _over_one_entry(op: str, args: Sequence[Expr]) -> Expr | None:
    """A reduction over an axis with one entry."""
    if op in REDUCTIONS:
        return args[0]
    if op == "norm":
        return Expr.make("abs", args)
    if op == "contract":
        return Expr.make("mul", args)
    return constant(1.0) if op == "size" else None
