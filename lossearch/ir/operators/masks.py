"""How operators treat ignored elements: the ways that stand on their rows.

A mask holds one for every kept element and zero for every ignored one. A way takes a node, whose arguments count
ignored elements for nothing already, and a mask for each argument, or None where it has none; it gives what to compute
instead and the mask of that. What is computed at ignored elements is of no account, but must be finite.
"""

from __future__ import annotations

from collections.abc import Callable

from lossearch.ir.core.axes import Axes, without
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.operator import Masks, Treated
from lossearch.ir.core.types import IllTyped
from lossearch.ir.operators import functions as fn

Change = Callable[[Expr, Expr], Expr]

FAR = 1e30
"""What hides an entry: below any that is kept, and such that e^-FAR is zero beside any other."""

WHOLE = 1.0 - 1e-5
"""A window whose mean of the mask exceeds this is kept throughout."""


def restricted(mask: Expr, axes: Axes) -> Expr:
    """The mask along these axes alone: what stands for several elements, as their sum does, counts if any is kept."""
    lost = without(mask.axes, axes)
    return fn.max(mask, lost) if lost else mask


def joined(masks: Masks, axes: Axes) -> Expr | None:
    """One where all masks are, along these axes."""
    given = list(dict.fromkeys(mask for mask in masks if mask is not None))
    told = [m for m in given if not any(m is restricted(other, m.axes) for other in given if other is not m)]
    if not told:
        return None
    mask = told[0]
    for other in told[1:]:
        mask = mask * other
    return restricted(mask, axes)


def each_alone(node: Expr, masks: Masks) -> Treated:
    """Each element by itself."""
    return node, joined(masks, node.axes)


def _hidden(node: Expr, masks: Masks) -> Axes:
    """The axes that the node works over along which elements are ignored."""
    return tuple(axis for axis in node.attr("over") if any(mask is not None and axis in mask.axes for mask in masks))


def over_kept(change: Change) -> Callable[[Expr, Masks], Treated]:
    """`change` of the node and its first argument's mask, where ignored elements lie along what it works over."""

    def way(node: Expr, masks: Masks) -> Treated:
        (mask,) = masks
        if mask is None or not _hidden(node, masks):
            return each_alone(node, masks)
        return change(node, mask), restricted(mask, node.axes)

    return way


def _kept(mask: Expr) -> Expr:
    return fn.greater(mask, 0.5)


def _without_ignored(node: Expr, mask: Expr) -> Expr:
    return node.with_args((node.args[0] * mask,))


as_zeros = over_kept(_without_ignored)
"""Ignored elements are zero: for sums and norms."""


def _at_end(lowest: bool, far: bool) -> Callable[[Expr, Masks], Treated]:
    """Ignored elements lie beyond all others; where only such are, the result is as near to zero as its type allows.

    `far` beyond, where an exponential counts every entry; else at the bound of what can be.
    """

    def change(node: Expr, mask: Expr) -> Expr:
        x = node.args[0]
        bound = max(x.lower, -FAR) if lowest else min(x.upper, FAR)
        hidden = -FAR if far else bound
        changed = node.with_args((fn.where(_kept(mask), x, hidden),))
        nothing = min(max(node.lower, 0.0), node.upper)
        return fn.where(_kept(restricted(mask, node.axes)), _within(changed, node), nothing)

    return over_kept(change)


maximum_of_kept, minimum_of_kept = _at_end(lowest=True, far=False), _at_end(lowest=False, far=False)
exponentials_of_kept = _at_end(lowest=True, far=True)


def _mean(node: Expr, mask: Expr) -> Expr:
    over: Axes = node.attr("over")
    total = fn.sum(node.args[0] * mask, over)
    return _within(total / _count(node, mask), node)


def _within(changed: Expr, node: Expr) -> Expr:
    """A mean, maximum … of fewer entries, held in the bounds that the node's type knows."""
    lower = node.lower if changed.lower < node.lower else None
    return fn.clamp(changed, lower, node.upper if changed.upper > node.upper else None)


def _count(node: Expr, mask: Expr) -> Expr:
    """How many kept elements there are over the node's axes: at least one, so that no mean is 0/0."""
    over: Axes = node.attr("over")
    rest = without(over, mask.axes)
    hidden = without(over, rest)
    kept = fn.clamp(fn.sum(mask, hidden), lower=1.0)
    return kept * fn.size(node.args[0], rest) if rest else kept


mean_of_kept, count_of_kept = over_kept(_mean), over_kept(_count)


def contraction(node: Expr, masks: Masks) -> Treated:
    """Σ x·y over what both sides keep."""
    mask = joined(masks, _all_axes(node))
    if mask is None or not _hidden(node, masks):
        return each_alone(node, masks)
    x, y = node.args
    first, second = masks
    if first is second:
        return node.with_args((x * mask, y)), restricted(mask, node.axes)
    sides = [side if m is None else side * m for side, m in zip((x, y), masks, strict=True)]
    return node.with_args(sides), restricted(mask, node.axes)


def squared_differences(node: Expr, masks: Masks) -> Treated:
    """Σ (x - y)² over what both sides keep."""
    mask = joined(masks, _all_axes(node))
    if mask is None or not _hidden(node, masks):
        return each_alone(node, masks)
    x, y = node.args
    return fn.sum(fn.square(x - y) * mask, node.attr("over")), restricted(mask, node.axes)


def _all_axes(node: Expr) -> Axes:
    return tuple(axis for argument in node.args for axis in argument.axes)


def ordering(node: Expr, masks: Masks) -> Treated:
    """Ignored elements come last, as zeros, and so does the mask."""
    mask = joined(masks, _all_axes(node))
    if mask is None or not _hidden(node, masks):
        return each_alone(node, masks)
    over: Axes = node.attr("over")
    x, key = node.args[0], node.args[-1]
    return fn.sort_by(x * mask, fn.where(_kept(mask), key, -FAR), over), fn.sort(mask, over)


def choosing(node: Expr, masks: Masks) -> Treated:
    """No ignored element is chosen."""
    mask = joined(masks, _all_axes(node))
    if mask is None or not _hidden(node, masks):
        return each_alone(node, masks)
    x, scores = node.args
    return node.with_args((x, fn.where(_kept(mask), scores, -FAR))), restricted(mask, node.axes)


def in_order_alone(node: Expr, masks: Masks) -> Treated:
    """Neighbours along an axis: known among ranks, of which those ignored come last."""
    if any(axis != "rank" for axis in _hidden(node, masks)):
        raise refusal(node)
    return each_alone(node, masks)


def places_alone(node: Expr, masks: Masks) -> Treated:
    """A place stays what it is, whatever is ignored elsewhere."""
    (mask,) = masks
    if mask is None or not set(mask.axes) & set(node.axes):
        return node, None
    return node, restricted(mask, node.axes)


def other_axes_alone(node: Expr, masks: Masks) -> Treated:
    """Entries of an axis that holds no elements, such as coordinates."""
    if _hidden(node, masks):
        raise refusal(node)
    return each_alone(node, masks)


def refusal(node: Expr) -> IllTyped:
    """Why a loss with this operator cannot leave elements out."""
    return IllTyped(
        "operators that can leave out ignored elements",
        f"{node.op} over [{', '.join(node.args[0].axes)}]",
        "give no labels to ignore, or build the loss without it",
    )


def renaming(node: Expr, masks: Masks) -> Treated:
    """The mask is renamed too."""
    (mask,) = masks
    names = {node.attr("source"), node.attr("target")}
    if mask is None or not names & set(mask.axes):
        return node, mask
    return node, fn.rename(mask, node.attr("source"), node.attr("target"))


def merging(node: Expr, masks: Masks) -> Treated:
    """The mask's batch and space are one axis too."""
    (mask,) = masks
    if mask is None or not mask.axes:
        return node, mask
    if not {"batch", "space"} <= set(mask.axes):
        raise refusal(node)
    return node, fn.merge(mask)


def diagonals(node: Expr, masks: Masks) -> Treated:
    """A pair is kept where both its elements are."""
    (mask,) = masks
    if mask is None or node.attr("axis") not in mask.axes:
        return node, mask
    return node, fn.diagonal(mask, node.attr("axis"))


def pairs(node: Expr, masks: Masks) -> Treated:
    """Values that depend on places alone."""
    (mask,) = masks
    axis: str = node.attr("axis")
    if mask is None or axis not in mask.axes:
        return node, None
    one = restricted(mask, (axis,))
    return node, one * fn.rename(one, axis, f"{axis}'")


def differences(node: Expr, masks: Masks) -> Treated:
    """A step to or from an ignored element is zero, as at the edge."""
    (mask,) = masks
    if mask is None or not _in_space(node, mask):
        return node, mask
    both = mask * (1 - fn.abs(node.with_args((mask,))))
    return node * both, mask


def window_means(node: Expr, masks: Masks) -> Treated:
    """Means over the part of each window that is kept, as at the border over the part inside."""
    (mask,) = masks
    if mask is None or not _in_space(node, mask):
        return node, mask
    return _share(node, mask), mask


def block_means(node: Expr, masks: Masks) -> Treated:
    """Means over the part of each block that is kept; a block counts if any of it is."""
    (mask,) = masks
    if mask is None or not _in_space(node, mask):
        return node, mask
    kept = fn.where(fn.greater(node.with_args((mask,)), 0.0), 1.0, 0.0)
    return _share(node, mask), kept


def windows_inside(node: Expr, masks: Masks) -> Treated:
    """A window is inside where all of it is kept."""
    (mask,) = masks
    if mask is None or not _in_space(node, mask):
        return node, None
    whole = fn.greater(fn.local_mean(mask, node.attr("size")), WHOLE)
    return node * fn.where(whole, 1.0, 0.0), mask


def _in_space(node: Expr, mask: Expr) -> bool:
    return node.args[0].axes[-1] in mask.axes


def _share(node: Expr, mask: Expr) -> Expr:
    """The node's mean of kept entries."""
    return _within(node.with_args((node.args[0] * mask,)) / node.with_args((mask,)), node)
