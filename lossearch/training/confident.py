"""How much of its gradient a loss of class scores has left where predictions are confident and wrong."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from lossearch.ir.core.graph import Graph
from lossearch.ir.core.signature import PROGRESS, Input
from lossearch.ir.signatures import NOISE_RATE_INPUT
from lossearch.training.graph_loss import GraphLoss
from lossearch.training.loss_buffers import UNTRAINED_PROGRESS
from lossearch.training.step_size import gradient_rms
from lossearch.training.untrained import LossInputs

CLASSES = 10
SAMPLES = 20
MARGIN = 10.0
"""By how much the score of a wrong class exceeds that of the true one."""

NOISE = 0.2
"""The share of wrong labels that losses are told which ask for it."""

VANISHED = 0.05
"""Share of the gradient below which a network hardly gets away from where it is wrong and sure."""


@dataclass(frozen=True)
class WhenWrong:
    """A loss at confident, wrong predictions.

    Attributes:
        share: RMS gradient there, as a share of that at undecided predictions.
    """

    share: float

    def __str__(self) -> str:
        told = f"gradient {self.share:.2g} times that at undecided predictions"
        if self.share < VANISHED:
            return f"{told}: where a network is wrong and sure, it hardly learns"
        return told


def when_wrong(graph: Graph) -> WhenWrong | None:
    """The gradient of a loss where a wrong class is ahead by `MARGIN`; None for losses of other than class scores.

    Bounded losses and probability margins have none there, so that a training may never begin, or may collapse with
    one seed in ten. None, too, where a loss has no gradient at undecided predictions, which is nothing to compare with.
    """
    known = graph.signature.labelled_scores
    if known is None or any(one.learnable for one in graph.parameters):
        return None
    scores, labels = (one.name for one in known)
    names = [one.name for one in graph.signature.forward_inputs]
    target = torch.arange(SAMPLES) % CLASSES
    wrong = torch.nn.functional.one_hot((target + 1 + torch.arange(SAMPLES) % (CLASSES - 1)) % CLASSES, CLASSES)
    loss = GraphLoss(graph, {one.name: _given(one) for one in graph.signature.buffers if graph.uses(one.name)})

    def size(margin: float) -> float:
        given = {scores: margin * wrong.double(), labels: target}
        return gradient_rms(loss, LossInputs({name: given[name] for name in names}, (scores,)))

    undecided = size(0.0)
    return WhenWrong(size(MARGIN) / undecided) if undecided > 0.0 else None


def _given(declared: Input) -> Tensor:
    """What a loss is made with: as in the middle of a training with some noise, and otherwise 1, or what is nearest."""
    known = {NOISE_RATE_INPUT: NOISE, PROGRESS: UNTRAINED_PROGRESS}
    value = known.get(declared, min(max(1.0, declared.domain.lower), declared.domain.upper))
    return torch.full([CLASSES if axis == "class" else 1 for axis in declared.axes], value, dtype=torch.float64)
