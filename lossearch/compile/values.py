"""Checks that take a pass over the values of a module's inputs: finiteness, ranges, sums, corners."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor

from lossearch.compile.targets import class_by_class, takes_signs
from lossearch.errors import UserError
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.signature import DOMAIN, Input

SUM_TOLERANCE = 1e-2
"""How far probabilities may be from summing to one: half precision over a thousand classes stays within."""

ROUNDINGS = 64
"""How many roundings of its dtype, float32 at best, a value may lie beyond an end of its range: a cosine of long
vectors, or a distance computed from a difference, has such errors. Half precision has few: its products are longer."""

HALF_ROUNDINGS = 8

_CORNERS = (("x1", 0, "x2", 2), ("y1", 1, "y2", 3))


def check_values(graph: Graph, inputs: Sequence[Tensor]) -> None:
    """Raise `UserError` for values that the signature of a graph rules out; shapes and dtypes are sound.

    These are nan and infinities anywhere, values outside an input's range, probabilities that do not sum to one over
    the classes (unless the loss judges each class by itself), and boxes with x2 < x1 or y2 < y1; by more than rounding
    explains. The range of an input in all of ℝ is no requirement: ±1e4 is how far value and gradient are known to stay
    finite in float32.
    """
    for declared, x in zip(graph.signature.forward_inputs, inputs, strict=True):
        if declared.kind == "real" and not declared.labels:
            x = x if x.is_floating_point() else x.double()  # integers and masks stand for numbers
        if not x.is_floating_point() or not x.numel():
            continue
        check_finite(declared.name, x)
        signs = bool(declared.labels) and takes_signs(graph) and bool((x < 0).any())
        if signs:
            _check_signs(declared, x)
        else:
            _check_range(declared, x)
        if declared.labels and not class_by_class(graph):
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
    negative = weight < -_tolerance(weight)
    if bool(negative.any()):
        raise UserError(f"{name} ≥ 0", _found(weight, negative), "correct the weights")


def _check_range(declared: Input, x: Tensor) -> None:
    lower, upper = declared.domain
    tolerance = _tolerance(x, *(abs(end) for end in (lower, upper) if 0.0 < abs(end) < DOMAIN.upper))
    least, most = lower > DOMAIN.lower, upper < DOMAIN.upper
    wrong = torch.zeros_like(x, dtype=torch.bool)
    if least:
        wrong |= x < lower - tolerance
    if most:
        wrong |= x > upper + tolerance
    if (least or most) and bool(wrong.any()):
        required = f"in {declared.domain}" if least and most else f"≥ {lower:g}" if least else f"≤ {upper:g}"
        raise UserError(f"{declared.name} {required}", _found(x, wrong), f"give {declared.doc}")


def _check_signs(declared: Input, x: Tensor) -> None:
    wrong = (x.abs() - 1.0).abs() > _tolerance(x, 1.0)
    if bool(wrong.any()):
        hint = "give shares of 0 to 1, or a sign everywhere"
        raise UserError(f"{declared.name} in [0, 1], or -1 and 1 alone", _found(x, wrong), hint)


def _tolerance(x: Tensor, *ends: float) -> float:
    """How far rounding may take a value beyond an end of its range: relative to the ends, or else to the values."""
    half = x.dtype in (torch.float16, torch.bfloat16)
    unit = HALF_ROUNDINGS * torch.finfo(x.dtype).eps if half else ROUNDINGS * torch.finfo(torch.float32).eps
    return unit * (max(ends) if ends else x.detach().abs().max().item() if x.numel() else 0.0)


def _check_sums(declared: Input, x: Tensor) -> None:
    assert declared.labels is not None
    sums = x.sum(declared.axes.index(declared.labels))
    wrong = (sums - 1.0).abs() > SUM_TOLERANCE
    if bool(wrong.any()):
        required = f"{declared.name} that sums to 1 over {declared.labels}"
        raise UserError(required, f"sum {_found(sums, wrong)}", "give probabilities, or integer labels")


def _check_corners(declared: Input, x: Tensor) -> None:
    for first, low, second, high in _CORNERS:
        size = torch.maximum(x[..., high].abs(), x[..., low].abs())
        wrong = x[..., high] < x[..., low] - _tolerance(x, 1.0) * size
        if bool(wrong.any()):
            row = int(wrong.nonzero()[0, 0])
            found = f"{first} = {_spelled(x[row, low])}, {second} = {_spelled(x[row, high])} at [{row}]"
            hint = "sort the corners, or build boxes from a centre and positive sides"
            raise UserError(f"{declared.name} with {first} ≤ {second}", f"{found}{_others(wrong)}", hint)


def _found(x: Tensor, wrong: Tensor) -> str:
    """The first wrong value, its index, and how many others there are."""
    index = wrong.nonzero()[0].tolist()
    return f"{_spelled(x[tuple(index)])} at {index}{_others(wrong)}"


def _spelled(value: Tensor) -> str:
    """A number with as many digits as tell it from its neighbours in its dtype."""
    number = value.item()
    texts = (f"{number:.{digits}g}" for digits in range(6, 18))
    return next((text for text in texts if value.new_tensor(float(text)).item() == number), str(number))


def _others(wrong: Tensor) -> str:
    count = int(wrong.sum()) - 1
    return f" and {count} more of {wrong.numel()}" if count else ""
