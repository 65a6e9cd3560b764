"""The shortest form of a loss with the same value and gradient."""

from __future__ import annotations

from dataclasses import replace

from lossearch.ir.core.graph import Graph
from lossearch.ir.core.joint import JointGraph
from lossearch.ir.rewriting.naming import cost
from lossearch.ir.rewriting.shortest import shortest
from lossearch.joint_loss import AnyLoss, JointLoss
from lossearch.loss import Loss
from lossearch.simplifying.simplified import Simplified

ON_LABELS = "simplified for labels"
ALWAYS = "simplified"


def exact(loss: AnyLoss, labels: bool = False) -> Simplified:
    """The shortest form of a loss that has its value and gradient; of losses of several slots that of each.

    Args:
        loss: any loss; parameters stay parameters.
        labels: whether its targets are labels. Then rules for labels are used too, where they make it shorter.

    Raises:
        UserError: the loss is too large, or `labels` is asked for where no target may be labels.
    """
    return _of_each(loss, labels) if isinstance(loss, JointLoss) else _of_one(loss, labels)


def _of_one(loss: Loss, labels: bool) -> Simplified:
    graph, on_labels = _shortest(loss.graph, labels)
    if graph == loss.graph:
        return Simplified(loss, loss, loss)
    found = replace(loss, graph=graph, source=_with_note(loss.source, ON_LABELS if on_labels else ALWAYS))
    return Simplified(loss, found, found, on_labels)


def _of_each(loss: JointLoss, labels: bool) -> Simplified:
    shorter: dict[str, Graph] = {}
    on_labels = False
    for slot, one in loss.losses.items():
        takes_labels = any(declared.labels for declared in one.signature.forward_inputs)
        shorter[slot], labelled = _shortest(one.graph, labels and takes_labels)
        on_labels = on_labels or labelled
    graph = JointGraph.of(shorter)
    if graph == loss.graph:
        return Simplified(loss, loss, loss)
    short = replace(loss, graph=graph, source=_with_note(loss.source, ON_LABELS if on_labels else ALWAYS))
    return Simplified(loss, short, short, on_labels)


def _with_note(source: str, note: str) -> str:
    return f"{source}, {note}" if source else note


def _shortest(graph: Graph, labels: bool) -> tuple[Graph, bool]:
    """The shortest form, and whether it is equal on labels only."""
    always = shortest(graph)
    if not labels:
        return always, False
    on_labels = shortest(graph, labels=True)
    return (on_labels, True) if cost(on_labels) < cost(always) else (always, False)
