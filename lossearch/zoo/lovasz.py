"""Lovász losses of the dense family: convex surrogates of 1 - IoU of each class.

`per="batch"` has one IoU a class over the whole batch, `per="image"` one an image and class. The root keeps these
axes. A soft target counts with its share.
"""

from __future__ import annotations

import lossearch.primitives as pr
from lossearch.ir.core.expr import Expr
from lossearch.ir.operators import functions as fn
from lossearch.zoo.overlap import AXES_PER
from lossearch.zoo.registry import choose, hand_designed

SIGNATURE = "dense"


def _extension(errors: Expr, target: Expr, per: str) -> Expr:
    if choose("per", per, {"batch": True, "image": False}):
        return pr.lovasz_jaccard(fn.merge(errors), fn.merge(target), over=("element",))
    return pr.lovasz_jaccard(errors, target, over=("space",))


def _present(target: Expr, per: str) -> Expr:
    """Weight of each class: zero where it does not occur, and such that every image weighs the same."""
    present = fn.where(fn.greater(fn.sum(target, AXES_PER[per]), 0.0), 1.0, 0.0)
    return present if per == "batch" else present / fn.sum(present, "class")


@hand_designed(signature=SIGNATURE, source="Berman et al. 2018")
def lovasz_softmax(
    logits: Expr, target: Expr, *, per: str = "batch", classes: str = "present"
) -> Expr | tuple[Expr, Expr]:
    """Lovász-Softmax: Lovász extension of 1 - IoU at the errors |p_c - t_c| of each class.

    `per` is "batch" or "image". The mean is over the `classes` "present" in the target of the batch, or over each
    image's and then over images; or it is over "all", where an absent class costs its largest probability.
    """
    loss = _extension(fn.abs(fn.softmax(logits, "class") - target), target, per)
    return choose("classes", classes, {"present": (loss, _present(target, per)), "all": loss})


@hand_designed(signature=SIGNATURE, source="Berman et al. 2018")
def lovasz_hinge(logits: Expr, target: Expr, *, per: str = "image") -> Expr:
    """Lovász hinge of each class against the rest: extension of 1 - IoU at the hinge errors max(1 - (2t - 1)x, 0).

    `per` is "image" or "batch". Without spatial axes an image is one element, and its loss the hinge.
    """
    return _extension(pr.hinge(pr.signed_logits(logits, target), fn.constant(1.0)), target, per)
