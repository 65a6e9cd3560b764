"""Lovász extension of the Jaccard loss: a convex loss of errors that equals 1 - IoU where errors are 0 or 1."""

from __future__ import annotations

from lossearch.ir.core.axes import Axes
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.primitive import primitive
from lossearch.ir.operators import functions as fn
from lossearch.ir.operators.reductions import one_axis

FAMILY = "lovasz"


@primitive(family=FAMILY)
def lovasz_jaccard(errors: Expr, target: Expr, *, over: Axes = ("element",)) -> Expr:
    """Errors in descending order, each times what it adds to 1 - IoU: without the one axis `over`, ≥ 0.

    `errors` ≥ 0 and `target` in [0, 1] have the axis `over`: `space`, or `element` after `fn.merge`. Gradients flow
    through the errors. Berman et al. 2018.
    """
    # Once ordered, places are ranks: what a mask leaves out has error 0, is no part of the target and comes last.
    axis = one_axis("lovasz_jaccard", errors, over)
    worst_first = fn.rename(fn.sort_by(errors, errors, over), axis, "rank")
    truth = fn.rename(fn.sort_by(target, errors, over), axis, "rank")
    size = fn.sum(truth, "rank")
    intersection = size - fn.cumsum(truth, "rank")
    # At least one always, since size ≥ the first entry of the truth; the clamp says so to the types.
    union = fn.clamp(size + fn.cumsum(1 - truth, "rank"), lower=1.0)
    added = fn.step(1 - intersection / union, "rank")
    return fn.contract(worst_first, fn.stop_gradient(added), "rank")
