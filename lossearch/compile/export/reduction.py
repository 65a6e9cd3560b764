"""The method of an exported module that reduces the losses of elements to what it returns."""

from __future__ import annotations

from lossearch.compile.export.forms import ExportPlan
from lossearch.ir.core.interval import SMALLEST_DENOMINATOR


def reduce_method(plan: ExportPlan) -> list[str]:
    """Lines of `reduce`, which takes the loss of each element and, where there are any, weights."""
    always = plan.always_weighs
    optional = "weight: Tensor | None" + ("" if plan.restores else " = None")
    optional = "weight: Tensor" if always else optional
    arguments = ["self", "loss: Tensor", *([optional] if plan.weighs else [])]
    arguments += ["shape: list[int]"] if plan.restores else []
    arguments += ["share: Tensor | None = None"] if plan.shares else []
    lines = [f"def reduce({', '.join(arguments)}) -> Tensor:"]
    if always:
        lines += ["    loss = weight * loss"]
    elif plan.weighs:
        lines += ["    if weight is not None:", "        loss = weight * loss"]
    restored = "loss.reshape(loss.shape[:-1] + shape)" if plan.restores else "loss"
    lines += ['    if self.reduction == "none":', f"        return {restored}"]
    # The mean of an empty batch would be nan; elsewhere it does not come here.
    empty = " or loss.numel() == 0" if plan.traced else ""
    lines += [f'    if self.reduction == "sum"{empty}:', "        return loss.sum()"]
    if "batchmean" in plan.reductions:
        lines += ['    if self.reduction == "batchmean":', "        return loss.sum() / loss.shape[0]"]
    if plan.shares:
        product = "weight * share" if always else "share if weight is None else weight * share"
        lines += ["    if share is not None:", f"        weight = {product}"]
    if plan.weighs:
        lines += [] if always else ["    if weight is None:", "        return loss.mean()"]
        lines += [f"    return loss.sum() / weight.expand_as(loss).sum().clamp_min({SMALLEST_DENOMINATOR!r})"]
    else:
        lines += ["    return loss.mean()"]
    return lines
