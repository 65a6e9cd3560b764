"""Tensors that a module is given at construction, such as class weights and centres, against their declarations."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from lossearch.compile.values import check_finite
from lossearch.errors import UserError
from lossearch.ir.core.signature import DOMAIN, Input


def class_weights(weight: Tensor | Sequence[float]) -> Tensor:
    """Class weights as a floating tensor of their own; raises `UserError` for what is no real numbers."""
    try:
        given = torch.as_tensor(weight).detach().clone()
    except (TypeError, ValueError, RuntimeError):
        raise UserError("`weight` as a number for each class", repr(weight)[:80], "give a list or tensor") from None
    if given.is_complex():
        raise UserError("`weight` as a number for each class", str(given.dtype), "give real numbers")
    return given if given.is_floating_point() else given.to(torch.get_default_dtype())


def check_buffer(buffer: Input, value: Any, sizes: dict[str, int]) -> None:
    """Compare a tensor given at construction with its declaration; adds the lengths of its axes to `sizes`."""
    spelled = f"{buffer.name}[{', '.join(buffer.axes)}]"
    if not isinstance(value, Tensor):
        raise UserError(f"{spelled} as a tensor", type(value).__name__, "convert it with torch.as_tensor")
    if not value.is_floating_point():
        raise UserError(f"{spelled} of a floating dtype", str(value.dtype), "convert it with .float()")
    if value.dim() != len(buffer.axes):
        raise UserError(spelled, f"shape {list(value.shape)}", f"give {buffer.doc}")
    check_finite(buffer.name, value)
    lower, upper = buffer.domain
    # A bound of ±1e4 says how far value and gradient are known to stay finite: it is nothing that a user must keep.
    wrong = (value < lower) & (lower > DOMAIN.lower) | (value > upper) & (upper < DOMAIN.upper)
    if bool(wrong.any()):
        raise UserError(f"{buffer.name} in {buffer.domain}", str(value.tolist())[:80], "correct the values")
    for axis, length in zip(buffer.axes, value.shape, strict=True):
        plain = axis.rstrip("'")
        if sizes.setdefault(plain, length) != length:
            required = f"{spelled} with {axis} of length {sizes[plain]}"
            raise UserError(required, f"shape {list(value.shape)}", f"give {buffer.doc}")
    if len(buffer.axes) == 2 and buffer.axes[1] == f"{buffer.axes[0]}'":
        definite = value.allclose(value.T) and int(torch.linalg.cholesky_ex(value)[1]) == 0
        if not definite:
            required = f"{spelled} symmetric and positive definite"
            raise UserError(required, str(value.tolist())[:80], f"give {buffer.doc}")
