"""Step size: what a loss gains merely because its gradient is larger, measured so that it can be taken out."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from lossearch.compile.door import least_extent
from lossearch.compile.interpret import evaluate, weighted
from lossearch.evaluate.probe_inputs import declared_inputs
from lossearch.evaluate.training import initial_predictions
from lossearch.ir.graph import Graph
from lossearch.ir.lowering import lower
from lossearch.tasks import Task

LossFunction = Callable[[Tensor, Tensor], Tensor]
SAMPLES = 256
UNTRAINED = 0.1
"""How far the predictions of an untrained network are taken to spread where they are not known."""


def prediction_gradient(loss: LossFunction, logits: Tensor, target: Tensor) -> Tensor:
    """∂ loss / ∂ logits: the shape of `logits`."""
    free = logits.detach().requires_grad_()
    (gradient,) = torch.autograd.grad(loss(free, target), free)
    return gradient


def prediction_gradients(losses: Sequence[LossFunction], logits: Tensor, target: Tensor) -> Tensor:
    """∂ loss / ∂ logits of several losses at the same predictions: [loss, batch, class]."""
    return torch.stack([prediction_gradient(loss, logits, target) for loss in losses])


def gradient_rms(loss: LossFunction, logits: Tensor, target: Tensor) -> float:
    """Root mean square of the gradient at the predictions."""
    return float(prediction_gradient(loss, logits, target).double().square().mean().sqrt())


def step_scale(loss: LossFunction, reference: LossFunction, task: Task, seed: int = 0) -> float:
    """The factor that gives `loss` the reference's RMS gradient at the predictions of an untrained network.

    Not finite or not positive where the loss has no gradient there.
    """
    logits, target = initial_predictions(task, seed, min(SAMPLES, len(task.train)))
    own, wanted = gradient_rms(loss, logits, target), gradient_rms(reference, logits, target)
    return wanted / own if own > 0.0 else float("inf")


def undecided_gradient_rms(graph: Graph) -> float:
    """Root mean square of ∂ mean(loss) / ∂ predictions of any signature, at small random predictions.

    Not finite or zero where the loss has no gradient there.
    """
    graph = graph.frozen()
    inputs = declared_inputs(graph.signature, least_extent(graph)).scaled(UNTRAINED)
    value = weighted(graph, *evaluate(lower(graph), inputs.values, shape=inputs.shape))
    gradients = torch.autograd.grad(value.mean(), inputs.leaves, allow_unused=True)
    squares = [gradient.square().sum().item() for gradient in gradients if gradient is not None]
    return math.sqrt(sum(squares) / sum(leaf.numel() for leaf in inputs.leaves))
