"""Losses for boxes in corner form: `boxes[batch, coord]` and `target[batch, coord]` as x1, y1, x2, y2."""

from __future__ import annotations

from lossearch import primitives as pr
from lossearch.ir.expr import Expr
from lossearch.zoo.registry import hand_designed


@hand_designed(signature="box", source="Rezatofighi et al. 2019")
def giou(boxes: Expr, target: Expr) -> Expr:
    """Generalised IoU loss 1 - (|I|/|U| - |C \\ U|/|C|) of each box, with C the smallest box around both: in [0, 2]."""
    return 1 - pr.box_giou(boxes, target)
