"""The shortest form of a loss with the same value and gradient."""

from __future__ import annotations

from dataclasses import replace

from lossearch.ir.rewriting.naming import cost
from lossearch.ir.rewriting.shortest import shortest
from lossearch.loss import Loss
from lossearch.simplifying.simplified import Simplified

ON_LABELS = "simplified for labels"
ALWAYS = "simplified"


def exact(loss: Loss, labels: bool = False) -> Simplified:
    """The shortest form of a loss that has its value and gradient.

    Args:
        loss: any loss; parameters stay parameters.
        labels: whether its targets are labels. Then rules for labels are used too, where they make it shorter.

    Raises:
        UserError: the loss is too large, or `labels` is asked for where no target may be labels.
    """
    always = shortest(loss.graph)
    chosen = shortest(loss.graph, labels=True) if labels else always
    if cost(chosen) >= cost(always):
        labels, chosen = False, always
    if chosen == loss.graph:
        return Simplified(loss, loss, loss)
    note = ON_LABELS if labels else ALWAYS
    source = f"{loss.source}, {note}" if loss.source else note
    found = replace(loss, graph=chosen, source=source)
    return Simplified(loss, found, found, labels)
