"""Whether a loss can be differentiated twice, as hypergradients ask, and which of its operators cannot."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.func import grad, jvp

from lossearch.compile.interpret import program
from lossearch.errors import UserError
from lossearch.ir.core.expr import Expr, postorder
from lossearch.ir.core.graph import Graph
from lossearch.ir.rewriting.lowering import guard_only, lower
from lossearch.training.probe_inputs import LENGTHS, ProbeInputs, declared_inputs, labelled_inputs

_STEP = 1e-6

STOPPED = "stop_gradient"
"""What it holds back changes with the predictions, and the gradient with it; no second derivative knows of that."""


def check_twice_differentiable(graph: Graph) -> None:
    """Raise `UserError` that names the operators of a loss through which there is no second derivative."""
    inputs = probes(graph)
    roots = lower(graph.frozen()).roots
    names = once_differentiable(graph, inputs) if _fails(roots, inputs) else []
    if not names and _holds_back(roots, inputs):
        names = [STOPPED]
    if names:
        raise UserError(
            "a loss that can be differentiated twice, for an estimator with gradients",
            f"{', '.join(names)} without a second derivative",
            'set estimator = "es", or choose a loss without',
        )


def once_differentiable(graph: Graph, inputs: ProbeInputs) -> list[str]:
    """Names of the operators through which torch takes no second derivative, in the order of their computation."""
    found: dict[str, None] = {}
    broken: set[Expr] = set()
    for node in guard_only(graph.frozen()).nodes:
        if not broken.isdisjoint(node.args):  # what lies below is named already
            broken.add(node)
        elif node.args and node.type.kind == "real" and _fails((node,), inputs):
            broken.add(node)
            found[node.op] = None
    return list(found)


def probes(graph: Graph) -> ProbeInputs:
    """Inputs on which a loss is differentiated, in float64."""
    signature = graph.signature
    if signature.labelled_scores is not None:
        return labelled_inputs(signature, LENGTHS["class"])
    return declared_inputs(signature)


class SecondDerivatives:
    """Gradients and Hessian-vector products of a lowered loss, with respect to the predictions.

    Args:
        roots: the loss, and the weight of its elements where it has one.
        inputs: on which it is evaluated.
    """

    def __init__(self, roots: Sequence[Expr], inputs: ProbeInputs) -> None:
        self._program, self._inputs = program(tuple(roots)), inputs
        self._axes = [root.axes for root in roots]
        self.predictions = tuple(leaf.detach() for leaf in inputs.leaves)

    def mean(self, *predictions: Tensor) -> Tensor:
        """The loss, or the mean of whatever the roots are."""
        given = {name: value.detach() for name, value in self._inputs.values.items()}
        given.update(zip(self._inputs.predictions, predictions, strict=True))
        root, *weights = self._program.run(given, list(self._inputs.shape))
        if not weights:
            return root.mean()
        weight = weights[0]
        for rank, axis in enumerate(self._axes[0]):
            weight = weight if axis in self._axes[1] else weight.unsqueeze(rank)
        weight = weight.expand_as(root)
        return (root * weight).sum() / weight.sum()

    def gradient(self, *predictions: Tensor) -> tuple[Tensor, ...]:
        """By each prediction."""
        return grad(self.mean, argnums=tuple(range(len(predictions))))(*predictions)

    def forward(self, *direction: Tensor) -> tuple[Tensor, ...]:
        """The Hessian times a direction: the gradient's tangent."""
        return jvp(self.gradient, self.predictions, direction)[1]

    def reverse(self, *direction: Tensor) -> tuple[Tensor, ...]:
        """The Hessian times a direction: the gradient of ⟨gradient, direction⟩."""
        leaves = [one.clone().requires_grad_() for one in self.predictions]
        first = torch.autograd.grad(self.mean(*leaves), leaves, create_graph=True, materialize_grads=True)
        along = torch.stack([(one * way).sum() for one, way in zip(first, direction, strict=True)]).sum()
        if not along.requires_grad:
            return tuple(torch.zeros_like(leaf) for leaf in leaves)
        return torch.autograd.grad(along, leaves, materialize_grads=True)

    def differences(self, *direction: Tensor) -> tuple[Tensor, ...]:
        """Central differences of the gradient along a direction, which know what is held back from it."""
        ends = [
            self.gradient(*(one + h * way for one, way in zip(self.predictions, direction, strict=True)))
            for h in (_STEP, -_STEP)
        ]
        return tuple((high - low) / (2 * _STEP) for high, low in zip(*ends, strict=True))


def _holds_back(roots: Sequence[Expr], inputs: ProbeInputs) -> bool:
    """Whether what is held back from the gradient changes it: then its differences are not the second derivative."""
    stopped = [node for node in postorder(roots) if node.op == STOPPED]
    if not any(leaf.attr("name") in inputs.predictions for node in stopped for leaf in node.leaves):
        return False
    found = SecondDerivatives(roots, inputs)
    draw = torch.Generator().manual_seed(0)
    # Probed predictions may tie, where some losses have a kink. Nearer to zero they stay in every domain.
    shares = [0.9 + 0.1 * torch.rand(one.shape, generator=draw, dtype=one.dtype) for one in found.predictions]
    found.predictions = tuple(one * share for one, share in zip(found.predictions, shares, strict=True))
    direction = tuple(torch.randn(one.shape, generator=draw, dtype=one.dtype) for one in found.predictions)
    second, differences = found.forward(*direction), found.differences(*direction)
    size = max(float(one.abs().max()) for one in (*second, *differences))
    return any(float((a - b).abs().max()) > 1e-3 * size for a, b in zip(second, differences, strict=True))


def _fails(roots: Sequence[Expr], inputs: ProbeInputs) -> bool:
    """Whether torch refuses a second derivative."""
    found = SecondDerivatives(roots, inputs)
    direction = tuple(torch.ones_like(one) for one in found.predictions)
    try:
        found.forward(*direction)
        found.reverse(*direction)
    except RuntimeError:  # of torch, whose messages differ from operator to operator
        return any(leaf.attr("name") in inputs.predictions for root in roots for leaf in root.leaves)
    return False
