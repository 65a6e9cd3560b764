"""What a module's door leaves unread because it takes a pass over the values: finiteness, ranges, sums, corners."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lossearch.errors import UserError
from lossearch.ir.expr import postorder
from lossearch.ir.graph import Graph
from lossearch.ir.signature import DOMAIN, Input

SUM_TOLERANCE = 1e-2
"""How far probabilities may be from summing to one: half precision over a thousand classes stays within."""

_CORNERS = (("x1", 0, "x2", 2), ("y1", 1, "y2", 3))


def check_values(graph: Graph, inputs: Sequence[Tensor]) -> None:
    """Raise `UserError` for values that the signature of a graph rules out; shapes and dtypes are sound.

    These are nan and infinities anywhere, values outside an input's range, probabilities that do not sum to one over
    the classes (unless the loss sets every class against the rest), and boxes with x2 < x1 or y2 < y1. The range of an
    input in all of ℝ is no requirement: ±1e4 is how far value and gradient are known to stay finite in float32.
    """
    for declared, x in zip(graph.signature.forward_inputs, inputs, strict=True):
        if not x.is_floating_point() or not x.numel():
            continue
        check_finite(declared.name, x)
        _check_range(declared, x)
        if declared.labels and _takes_distributions(graph, declared):
            _check_sums(declared, x)
        if declared.axes[-1:] == ("coord",):
            _check_corners(declared, x)


def check_finite(name: str, x: Tensor) -> None:
    """Raise `UserError` for nan or an infinity."""
    wrong = ~torch.isfinite(x)
    if bool(wrong.any()):
        hint = "clean the data, or look at the model that made it: learning rate, gradient clipping, autocast"
        raise UserError(f"finite {name}", _found(x, wrong), hint)


def check_weights(name: str, weight: Tensor) -> None:
    """Raise `UserError` for weights that are not finite or negative."""
    check_finite(name, weight)
    negative = weight < 0
    if bool(negative.any()):
        raise UserError(f"{name} ≥ 0", _found(weight, negative), "correct the weights")


def _check_range(declared: Input, x: Tensor) -> None:
    lower, upper = declared.domain
    least, most = lower > DOMAIN.lower, upper < DOMAIN.upper
    wrong = torch.zeros_like(x, dtype=torch.bool)
    if least:
        wrong |= x < lower
    if most:
        wrong |= x > upper
    if (least or most) and bool(wrong.any()):
        required = f"in {declared.domain}" if least and most else f"≥ {lower:g}" if least else f"≤ {upper:g}"
        raise UserError(f"{declared.name} {required}", _found(x, wrong), f"give {declared.doc}")


def _takes_distributions(graph: Graph, declared: Input) -> bool:
    """Whether a loss needs probabilities that sum to one: one that sets every class against the rest does not."""
    if declared.labels not in graph.root.axes:
        return True
    return any(node.op in ("softmax", "log_softmax", "logsumexp") for node in postorder(graph.expanded().roots))


def _check_sums(declared: Input, x: Tensor) -> None:
    assert declared.labels is not None
    sums = x.sum(declared.axes.index(declared.labels))
    wrong = (sums - 1.0).abs() > SUM_TOLERANCE
    if bool(wrong.any()):
        required = f"{declared.name} that sums to 1 over {declared.labels}"
        raise UserError(required, f"sum {_found(sums, wrong)}", "give probabilities, or integer labels")


def _check_corners(declared: Input, x: Tensor) -> None:
    for first, low, second, high in _CORNERS:
        wrong = x[..., high] < x[..., low]
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0, 0])
            found = f"{first} = {x[row, low].item():g}, {second} = {x[row, high].item():g} at [{row}]"
            hint = "sort the corners, or build boxes from a centre and positive sides"
            raise UserError(f"{declared.name} with {first} ≤ {second}", f"{found}{_others(wrong)}", hint)


def _found(x: Tensor, wrong: Tensor) -> str:
    """The first wrong value, its index, and how many others there are."""
    index = wrong.nonzero()[0].tolist()
    return f"{x[tuple(index)].item():g} at {index}{_others(wrong)}"


def _others(wrong: Tensor) -> str:
    count = int(wrong.sum()) - 1
    return f" and {count} more of {wrong.numel()}" if count else ""
