"""A weight of elements that is given with a call of a loss module."""

from __future__ import annotations

from torch import Tensor

from lossearch.compile.input_checker import Geometry
from lossearch.errors import UserError
from lossearch.ir.core.axes import Axes


def sample_weight_axes(weight: Tensor, root: Axes, geometry: Geometry) -> Axes:
    """The axes of a weight `[batch]` or `[batch, *space]`.

    Args:
        weight: real numbers on the device of the inputs.
        root: axes of the loss's elements.
        geometry: of the inputs.

    Raises:
        UserError: for another type, device or shape, and where the loss has no element for each of the batch.
    """
    if not isinstance(weight, Tensor) or weight.is_complex():  # pyright: ignore[reportUnnecessaryIsInstance]
        found = str(weight.dtype) if isinstance(weight, Tensor) else type(weight).__name__
        raise UserError("`sample_weight` as a tensor of real numbers", found, "convert it with torch.as_tensor")
    if weight.device.type != geometry.device:
        hint = "move it with .to(device)"
        raise UserError(f"`sample_weight` on {geometry.device} as the inputs", str(weight.device), hint)
    if "batch" not in root:
        hint = "this loss reduces the batch itself"
        raise UserError("no `sample_weight`", f"shape {list(weight.shape)}", hint)
    batch = (geometry.sizes.get("batch", -1),)
    if tuple(weight.shape) == batch and geometry.shape:
        return ("batch",)
    if tuple(weight.shape) != (batch + geometry.shape if "space" in root else batch):
        required = "sample_weight[batch]" + (" or [batch, *space]" if "space" in root else "")
        raise UserError(required, f"shape {list(weight.shape)}", "make it agree with the inputs")
    return tuple(axis for axis in ("batch", "space") if axis in root)
