"""How many classes and channels a task's loss is given: candidates are screened on as many."""

from __future__ import annotations

from collections.abc import Mapping

from torch import Tensor

from lossearch.ir.core.signature import Signature
from lossearch.tasks.user.first_call import FirstCall

BOUNDS = {"class": (2, 1000), "channel": (1, 16)}
"""The axes whose lengths are taken over, and within what limits: more would make screening slow, and show no more."""


def axis_lengths(call: FirstCall, signature: Signature) -> dict[str, int]:
    """Lengths of the signature's axes in the predictions of a function's first call, as far as they are told there.

    A batch of one sample that comes without its batch axis tells nothing.
    """
    given = call.tensors()
    named = {one.name: given.get(str(place), given.get(one.name)) for place, one in enumerate(signature.forward_inputs)}
    return lengths_in({name: tensor for name, tensor in named.items() if tensor is not None}, signature)


def lengths_in(tensors: Mapping[str, Tensor], signature: Signature) -> dict[str, int]:
    """Lengths of the signature's axes in predictions, by the names of the inputs."""
    found: dict[str, int] = {}
    for declared in signature.forward_inputs:
        tensor = tensors.get(declared.name)
        axes = [axis for axis in declared.axes if axis != "space"]
        if declared.role != "prediction" or tensor is None or tensor.dim() < len(axes):
            continue
        for axis, length in zip(axes, tensor.shape, strict=False):
            if axis in BOUNDS:
                least, most = BOUNDS[axis]
                found.setdefault(axis, min(max(length, least), most))
    return found
