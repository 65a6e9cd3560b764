"""Masks: every reduction over a masked axis becomes one over the kept elements."""

from __future__ import annotations

from lossearch.ir import functions as fn
from lossearch.ir.axes import Axes, without
from lossearch.ir.expr import Expr
from lossearch.ir.graph import Graph
from lossearch.ir.interval import UNIT
from lossearch.ir.types import IllTyped

LOWEST = -1e4


def mask_node(axes: Axes) -> Expr:
    """The mask input: one where an element is kept, zero where it is ignored."""
    return Expr.make("input", name="mask", axes=axes, lower=UNIT.lower, upper=UNIT.upper)


def apply_mask(graph: Graph, mask: Expr) -> Graph:
    """The graph in which ignored elements enter no reduction; a mean divides by the kept elements.

    Raises `IllTyped` where elements are no longer in their places when they are reduced.
    """
    check_places(graph, mask, reduced=False)
    return graph.map(lambda node: _masked(node, mask))


def check_places(graph: Graph, mask: Expr, reduced: bool) -> None:
    """Raise `IllTyped` where a mask over an axis matters once elements are ordered along it.

    They are no longer where the mask says, unless the ordered axis has a new name. With `reduced` it matters for the
    elements of the loss too.
    """
    masked = {*mask.axes, "element"} if {"batch", "space"} <= set(mask.axes) else set(mask.axes)
    ordered: dict[Expr, set[str]] = {}
    for node in graph.nodes:
        over = dict(node.attrs).get("over")
        inside = set[str]().union(*[ordered[argument] for argument in node.args])
        if isinstance(over, tuple) and (wrong := inside & set(over) & masked):
            raise _out_of_place(*wrong)
        if node.op in ("sort", "sort_by") and isinstance(over, tuple):
            inside |= set(over)
        ordered[node] = inside & set(node.axes)
    if reduced and (wrong := ordered[graph.root] & masked):
        raise _out_of_place(*wrong)


def _out_of_place(*axes: str) -> IllTyped:
    return IllTyped(
        "elements in their places, to tell those that are ignored",
        f"a loss that orders them along {', '.join(sorted(axes))}",
        f"name the ordered axis anew, rename(sort(…), {min(axes)}, rank), or give no labels to ignore",
    )


def restricted(mask: Expr, axes: Axes) -> Expr:
    """The mask along these axes alone: what stands for several elements, as their sum does, counts if any is kept."""
    lost = without(mask.axes, axes)
    return fn.max(mask, lost) if lost else mask


def _masked(node: Expr, mask: Expr) -> Expr:
    over = dict(node.attrs).get("over")
    if isinstance(over, tuple) and "element" in over:
        mask = fn.merge(mask)
    hidden = tuple(axis for axis in mask.axes if isinstance(over, tuple) and axis in over)
    if not hidden or not node.args or not set(mask.axes) & set(node.args[0].axes):
        return node
    x = node.args[0]
    # A contraction and an ordering broadcast their second argument too.
    mask = restricted(mask, tuple(axis for argument in node.args for axis in argument.axes))
    if node.op in ("sum", "norm", "unit", "cumsum"):
        return node.with_args((x * mask,))
    if node.op == "contract":
        return node.with_args((x * mask, node.args[1]))
    if node.op == "mean":
        assert isinstance(over, tuple)
        total = fn.sum(x * mask, over)
        kept = fn.sum(mask, hidden)
        rest = tuple(axis for axis in over if axis not in hidden)
        # At least one, so that a wholly ignored element has mean zero instead of 0 / 0.
        kept = fn.clamp(kept, lower=1.0)
        return total / (kept * fn.size(x, rest) if rest else kept)
    if node.op in ("max", "logsumexp", "softmax", "log_softmax", "sort"):
        return node.with_args((fn.where(fn.greater(mask, 0.5), x, max(x.lower, LOWEST)),))
    if node.op == "min":
        return node.with_args((fn.where(fn.greater(mask, 0.5), x, min(x.upper, -LOWEST)),))
    if node.op == "sort_by":
        kept_first = fn.where(fn.greater(mask, 0.5), node.args[1], max(node.args[1].lower, LOWEST) - 1.0)
        return node.with_args((x * mask, kept_first))
    if node.op == "size":
        rest = tuple(axis for axis in node.attr("over") if axis not in hidden)
        kept = fn.clamp(fn.sum(mask, hidden), lower=1.0)
        return kept * fn.size(x, rest) if rest else kept
    return node
