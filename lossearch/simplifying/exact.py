"""The shortest form of a loss with the same value and gradient."""

from __future__ import annotations

from dataclasses import dataclass, replace

from lossearch.ir.rewriting.naming import cost
from lossearch.ir.rewriting.shortest import shortest
from lossearch.loss import Loss

ON_LABELS = "simplified for labels"
ALWAYS = "simplified"


@dataclass(frozen=True)
class Simplified:
    """A loss beside its shorter form.

    Attributes:
        original: the loss as it was given.
        loss: its shortest form; the original itself where none is shorter.
        labels: whether the two are equal on labels only, and may differ for soft targets.
    """

    original: Loss
    loss: Loss
    labels: bool = False

    @property
    def is_shorter(self) -> bool:
        """Whether anything was found."""
        return self.loss.graph != self.original.graph

    @property
    def holds(self) -> str:
        """Where the two are equal, in words."""
        if not self.is_shorter:
            return "nothing shorter was found"
        return "equal on labels; soft targets may differ" if self.labels else "equal for every input"


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
        return Simplified(loss, loss)
    note = ON_LABELS if labels else ALWAYS
    source = f"{loss.source}, {note}" if loss.source else note
    return Simplified(loss, replace(loss, graph=chosen, source=source), labels)
