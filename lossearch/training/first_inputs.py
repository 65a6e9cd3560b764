"""What a training function gives its loss at its first call, as screening takes it."""

from __future__ import annotations

from lossearch.ir.core.signature import Input, Signature
from lossearch.tasks.user.first_call import FirstCall
from lossearch.training.untrained import LossInputs


def first_inputs(call: FirstCall, signature: Signature, samples: int) -> LossInputs | None:
    """The inputs of a function's first call by the names of its signature; None where one is missing or has other axes.

    Labels that are ignored count as of class 0, since targets are taken as true.

    Args:
        call: the first call.
        signature: of the loss.
        samples: at most as many.
    """
    given, free = call.tensors(), set[str]()
    found = {}
    for place, declared in enumerate(signature.forward_inputs):
        name = str(place) if str(place) in given else declared.name
        tensor = given.get(name)
        if tensor is None or not _has_axes(declared, tensor.dim(), tensor.is_floating_point()):
            return None
        if tensor.is_floating_point():
            tensor = tensor.float()
        elif declared.labels and "ignore_index" in call.options:
            tensor = tensor.masked_fill(tensor == call.options["ignore_index"], 0)
        found[declared.name] = tensor[:samples] if "batch" in declared.axes else tensor
        if name in call.differentiable or (not call.differentiable and declared.role == "prediction"):
            free.add(declared.name)
    return LossInputs(found, tuple(name for name in found if name in free)) if free else None


def _has_axes(declared: Input, dimensions: int, is_float: bool) -> bool:
    """Whether a tensor has the declared axes; labels have none of classes, and there may be any number of space."""
    without = {"space"} if is_float or not declared.labels else {"space", declared.labels}
    least = sum(axis not in without for axis in declared.axes)
    return dimensions >= least if "space" in declared.axes else dimensions == least
