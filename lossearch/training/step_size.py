"""Step size: what a loss gains merely because its gradient is larger, measured so that it can be taken out."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from lossearch.compile.module import build
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.signature import Signature
from lossearch.tasks.user.first_call import FirstCall
from lossearch.training.plan import LossFunction
from lossearch.training.untrained import LossInputs


def prediction_gradient(loss: LossFunction, inputs: LossInputs) -> Tensor:
    """∂ loss / ∂ predictions in one row; zero where no gradient leads to them."""
    tensors = {name: x.detach().requires_grad_(name in inputs.free) for name, x in inputs.tensors.items()}
    leaves = [tensors[name] for name in inputs.free]
    value = loss(*tensors.values())
    if not value.requires_grad:
        return torch.cat([torch.zeros_like(leaf).flatten() for leaf in leaves])
    gradients = torch.autograd.grad(value, leaves, allow_unused=True)
    found = [torch.zeros_like(x) if g is None else g for g, x in zip(gradients, leaves, strict=True)]
    return torch.cat([gradient.flatten() for gradient in found])


def gradient_rms(loss: LossFunction, inputs: LossInputs) -> float:
    """Root mean square of the gradient at the predictions."""
    return float(prediction_gradient(loss, inputs).double().square().mean().sqrt())


def step_scale(loss: LossFunction, reference: LossFunction, inputs: LossInputs) -> float:
    """The factor that gives `loss` the reference's RMS gradient at the predictions of an untrained network.

    Not finite or not positive where the loss has no gradient there.
    """
    own, wanted = gradient_rms(loss, inputs), gradient_rms(reference, inputs)
    return wanted / own if own > 0.0 else float("inf")


class FirstPredictions:
    """The predictions of a training function's first call, and gradients of losses there.

    Gradients are those with respect to what required one in the call, else to every input that the signature calls a
    prediction. They are computed in float64, so that other machines find the same.

    Args:
        call: what the function gave its loss.
        signature: of the losses.
    """

    def __init__(self, call: FirstCall, signature: Signature) -> None:
        self.call = call
        declared = signature.forward_inputs
        predictions = {str(place) for place, one in enumerate(declared) if one.role == "prediction"}
        predictions |= {one.name for one in declared if one.role == "prediction"}
        tensors = {place: tensor for place, tensor in call.tensors().items() if tensor.is_floating_point()}
        leaves = call.differentiable & tensors.keys() or predictions & tensors.keys() or set(list(tensors)[:1])
        # Detached, since of numbers that are doubles already no copy is made.
        doubles = {place: x.detach().double().requires_grad_(place in leaves) for place, x in tensors.items()}
        self._inputs = [doubles.get(str(place), value) for place, value in enumerate(call.inputs)]
        self._named = {name: doubles.get(name, value) for name, value in call.named.items()}
        self._leaves = [doubles[place] for place in sorted(leaves)]

    def gradient_rms(self, graph: Graph) -> float:
        """Root mean square of ∂ loss / ∂ predictions, as the function calls the loss; zero where nothing leads to them.

        Raises:
            UserError: the loss does not take these inputs, such as images that are too small.
        """
        value = build(graph, **self.call.options)(*self._inputs, **self._named)
        if not value.requires_grad:
            return 0.0
        gradients = torch.autograd.grad(value.mean(), self._leaves, allow_unused=True)
        squares = [gradient.square().sum().item() for gradient in gradients if gradient is not None]
        return math.sqrt(sum(squares) / max(1, sum(leaf.numel() for leaf in self._leaves)))
