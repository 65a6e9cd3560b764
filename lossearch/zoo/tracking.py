"""Losses of Siamese trackers: `response[batch, *space]` against `target` of 1 at the object and -1 elsewhere."""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import choose, hand_designed


@hand_designed(signature="response", source="Bertinetto et al. 2016")
def cross_correlation(response: Expr, target: Expr, *, balanced: bool = False) -> Expr | tuple[Expr, Expr]:
    """Logistic loss log(1 + e^(-y·v)) of a response map v from cross-correlating exemplar and search features.

    `balanced=True` gives an image's positions at the object and those elsewhere a weight of one in all each, so that
    they count alike, as in the authors' code.
    """
    loss = fn.softplus(-(target * response))
    at_object = fn.where(fn.greater(target, 0), 1.0, 0.0)
    positive, negative = fn.sum(at_object, "space"), fn.sum(1 - at_object, "space")
    # At least one, since a map may lack either kind, and then no position asks for the quotient.
    weight = at_object / fn.clamp(positive, lower=1.0) + (1 - at_object) / fn.clamp(negative, lower=1.0)
    return choose("balanced", balanced, {False: loss, True: (loss, weight)})
