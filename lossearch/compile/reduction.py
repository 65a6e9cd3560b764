"""The final reduction of a loss as part of its graph, so that one emitted function holds everything."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, get_args

from lossearch.errors import UserError
from lossearch.ir.core.axes import Axes, without
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.interval import SMALLEST_DENOMINATOR
from lossearch.ir.operators import functions as fn

Reduction = Literal["none", "mean", "sum", "batchmean"]


def check_reduction(reduction: str) -> Reduction:
    """Return `reduction` if it is one of none, mean, sum, batchmean."""
    for known in get_args(Reduction):
        if reduction == known:
            return known
    raise UserError("reduction none, mean, sum or batchmean", repr(reduction), "correct `reduction`")


def reduced(root: Expr, weights: Sequence[Expr], reduction: Reduction, share: Expr | None = None) -> Expr:
    """`root` reduced over all of its axes, each element entering with the product of `weights`.

    mean = Σ weight·root / Σ weight, and 0 where no weight is left; sum = Σ weight·root; none = weight·root. batchmean
    is the sum divided by the length of the batch, whatever is ignored, as PyTorch's `kl_div` has it. Weights have axes
    among the root's. Where the loss is weighed already, by its `share`, a mean divides by Σ weight·share.
    """
    check_batchmean(reduction, root.axes)
    if reduction == "batchmean":
        return reduced(root, weights, "sum") / fn.size(_of_batch(root), "batch")
    if share is not None and reduction == "mean":
        return _shared_mean(root, weights, share)
    if not weights:
        return root if reduction == "none" or not root.axes else over_all(reduction, root)
    weight = weights[0]
    for factor in weights[1:]:
        weight = weight * factor
    if reduction == "none":
        return weight * root
    if reduction == "sum":
        return over_all("sum", weight * root)
    # Axes that the weight lacks are averaged first: every entry along them has the same weight.
    missing = without(root.axes, weight.axes)
    inner = fn.mean(root, missing) if missing else root
    # However small the weights, it is their relation that counts.
    kept = fn.clamp(over_all("sum", weight), lower=SMALLEST_DENOMINATOR)
    return over_all("sum", weight * inner) / kept


def _shared_mean(root: Expr, weights: Sequence[Expr], share: Expr) -> Expr:
    """Σ weight·root / Σ weight·share, where the share has the root's axes."""
    total = share
    for weight in weights:
        root, total = weight * root, weight * total
    return over_all("sum", root) / fn.clamp(over_all("sum", total), lower=SMALLEST_DENOMINATOR)


def check_batchmean(reduction: str, axes: Axes) -> None:
    """Refuse a mean over the batch of a loss that has reduced the batch itself."""
    if reduction == "batchmean" and "batch" not in axes:
        found = f"one with axes [{', '.join(axes)}]"
        raise UserError("a loss with a value for each element of the batch, for batchmean", found, "use mean or sum")


def _of_batch(root: Expr) -> Expr:
    """An input that has the batch, or else the loss itself."""
    inputs = [leaf for leaf in root.leaves if leaf.op == "input" and "batch" in leaf.axes]
    return min(inputs, key=lambda leaf: leaf.attr("name"), default=root)


def over_all(reduction: str, node: Expr) -> Expr:
    """`node` reduced over every axis that it has."""
    return Expr.make(reduction, (node,), over=node.axes) if node.axes else node
