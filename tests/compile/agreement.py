"""Value, gradient and Hessian-vector product of anything that computes a loss, and whether two of them agree."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
from torch import Tensor

from lossearch.compile import build
from lossearch.ir import Expr, Graph
from lossearch.ir.rewriting.lowering import lower

Derivatives = tuple[Tensor, Tensor, Tensor]


def derivatives(function: Callable[..., Tensor], given: Sequence[object]) -> Derivatives:
    """Value, gradient of its sum, and the Hessian's product with a fixed vector, by the first argument.

    Zeros where no gradient flows.
    """
    first = given[0]
    assert isinstance(first, Tensor)
    leaf = first.detach().clone().requires_grad_()
    value = function(leaf, *given[1:])
    gradient = _gradient(value.sum(), leaf)
    vector = torch.linspace(-1.0, 1.0, leaf.numel(), dtype=leaf.dtype).reshape(leaf.shape)
    product = _gradient((gradient * vector).sum(), leaf)
    return value.detach(), gradient.detach(), product.detach()


def _gradient(value: Tensor, leaf: Tensor) -> Tensor:
    if not value.requires_grad:
        return torch.zeros_like(leaf)
    (found,) = torch.autograd.grad(value, leaf, create_graph=True, allow_unused=True)
    return torch.zeros_like(leaf) if found is None else found


def assert_agree(found: Sequence[Tensor], expected: Sequence[Tensor], named: object = "") -> None:
    """Each derivative is the same, shape included."""
    for order, (one, other) in enumerate(zip(found, expected, strict=True)):
        torch.testing.assert_close(
            one, other, rtol=1e-9, atol=1e-10, msg=lambda said, order=order: f"derivative {order} of {named}: {said}"
        )


def has_norm_at_zero(graph: Graph, given: list[Tensor], options: dict[str, Any]) -> bool:
    """Whether a second derivative does not exist, where PyTorch gives nan: of a length, or a direction."""
    nodes = [node for node in lower(graph).nodes if node.op in ("norm", "unit")]
    norms = [graph.with_roots([Expr.make("norm", node.args, over=node.attr("over"))]) for node in nodes]
    return any(not build(norm, reduction="none", **options).double()(*given).all() for norm in norms)
