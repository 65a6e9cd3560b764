"""A module's door: what comes in is checked against the signature before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor

from lossearch.errors import UserError
from lossearch.ir.axes import RESOLUTIONS, Axes, without
from lossearch.ir.expr import postorder
from lossearch.ir.graph import Graph
from lossearch.ir.signature import Input

REMEMBERED = 256
"""How many combinations of shapes and dtypes are remembered as sound."""

CORNERS = 4
"""How many coordinates a box has."""


@dataclass
class Geometry:
    """What a sound set of inputs looks like.

    Attributes:
        labels: Whether the target is integer labels.
        shape: Lengths of the spatial axes.
        sizes: Length of every other axis by name.
        classes: How many classes integer labels may name, or zero.
        dtype: The dtype to compute in.
        device: Where the inputs are: "cpu", "cuda" …
        empty: Whether there is nothing to compute: an axis has length zero.
        direct: What can be called with the inputs as they are where nothing is ignored, once that is known.
        strict: Whether that refuses every label that is no class.
    """

    labels: bool
    shape: tuple[int, ...]
    sizes: Mapping[str, int]
    classes: int
    dtype: torch.dtype
    device: str
    empty: bool
    direct: Callable[..., Tensor] | None = None
    strict: bool = False


class Door:
    """Checks inputs of a graph's signature; a combination of shapes and dtypes is checked once."""

    def __init__(self, graph: Graph, sizes: Mapping[str, int]) -> None:
        self._signature = graph.signature
        self._inputs = graph.signature.forward_inputs
        self._sizes = dict(sizes)
        self._least = _least_sizes(graph)
        self._extent = least_extent(graph)
        self._sound: dict[tuple[Any, ...], Geometry] = {}

    def __call__(self, inputs: Sequence[Tensor]) -> Geometry:
        """The geometry of sound inputs; raises `UserError` for others."""
        try:
            if len(inputs) == 2:  # written out, since it shows in the time of a call
                a, b = inputs
                key = (a.shape, a.dtype, a.device, b.shape, b.dtype, b.device)
            else:
                key = tuple([(x.shape, x.dtype, x.device) for x in inputs])
        except AttributeError:
            key = ()
        found = self._sound.get(key)
        if found is None:
            found = self._check(inputs)
            if len(self._sound) >= REMEMBERED:
                self._sound.clear()
            self._sound[key] = found
        return found

    def __getstate__(self) -> dict[str, Any]:
        # What was seen may hold compiled functions, which cannot be copied or pickled.
        return {**self.__dict__, "_sound": {}}

    def _check(self, inputs: Sequence[Any]) -> Geometry:
        if len(inputs) != len(self._inputs):
            names = ", ".join(declared.name for declared in self._inputs)
            raise UserError(f"{len(self._inputs)} inputs ({names})", f"{len(inputs)}", "correct the call")
        sizes: dict[str, int] = dict(self._sizes)
        shape: tuple[int, ...] | None = None
        labels = False
        for declared, x in zip(self._inputs, inputs, strict=True):
            if not isinstance(x, Tensor):
                raise UserError(f"{declared.name} as a tensor", type(x).__name__, "convert it with torch.as_tensor")
            if x.device != inputs[0].device:
                hint = f"{declared.name} on {x.device}"
                raise UserError(f"all inputs on {inputs[0].device}", hint, "move it with .to(device)")
            as_labels = _check_dtype(declared, x)
            labels |= as_labels
            shape = _check_shape(declared, x, as_labels, sizes, shape, bool(self._sizes))
        if self._signature.family == "box" and sizes["coord"] != CORNERS:
            raise UserError(f"coord of length {CORNERS}", str(sizes["coord"]), "give boxes as x1, y1, x2, y2")
        for axis, least in self._least.items():
            length = math.prod(shape or ()) if axis == "space" else sizes[axis.rstrip("'")]
            if length < least:
                raise UserError(f"{axis} of length ≥ {least}", str(length), "correct the inputs' shape")
        if self._extent and min(shape or (0,)) < self._extent:
            found = f"space [{', '.join(map(str, shape or ()))}]"
            raise UserError(f"every spatial axis of length ≥ {self._extent}", found, "give larger images")
        floating = [x.dtype for x in inputs if x.is_floating_point()]
        dtype = torch.float32
        for other in floating:
            dtype = torch.promote_types(dtype, other)
        empty = 0 in (*sizes.values(), *(shape or ()))
        classes = next((sizes[i.labels] for i in self._inputs if i.labels), 0)
        return Geometry(labels, shape or (), sizes, classes, dtype, inputs[0].device.type, empty)


def _least_sizes(graph: Graph) -> dict[str, int]:
    """Axes of fixed meaning are as long as the entries that the loss selects need."""
    least: dict[str, int] = {}
    for node in postorder(graph.expanded().roots):
        if node.op == "select":
            (axis,) = node.attr("over")
            if any(axis in declared.axes for declared in graph.signature.inputs):
                least[axis] = max(least.get(axis, 0), node.attr("index") + 1)
    return least


def least_extent(graph: Graph) -> int:
    """How long every spatial axis must be, so that the windows of averages over the interior fit; 0 for no need."""
    least = 0
    for node in postorder(graph.expanded().roots):
        if node.op == "interior":
            factor = 2 ** RESOLUTIONS.index(node.axes[0])
            least = max(least, (node.attr("size") - 1) * factor + 1)
    return least


def _check_dtype(declared: Input, x: Tensor) -> bool:
    """Whether `x` holds integer labels in place of a distribution."""
    if declared.kind == "index":
        if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
            raise UserError(f"{declared.name} of an integer dtype", str(x.dtype), "convert it with .long()")
        return False
    if x.is_floating_point():
        return False
    if declared.labels and x.dtype != torch.bool and not x.is_complex():
        return True
    required = "a floating dtype" + (" or integer labels" if declared.labels else "")
    raise UserError(f"{declared.name} of {required}", str(x.dtype), "convert it with .float() or .long()")


def _check_shape(
    declared: Input, x: Tensor, labels: bool, sizes: dict[str, int], shape: tuple[int, ...] | None, given: bool
) -> tuple[int, ...] | None:
    """Compare lengths with those of earlier inputs, and return the spatial shape, known from now on."""
    axes = without(declared.axes, (declared.labels or "",)) if labels else declared.axes
    leading = without(axes, ("space",))
    spatial = tuple(x.shape[len(leading) :])
    free = spatial if shape is None else shape
    known = dict(sizes)
    # A primed axis is a second copy of its axis, so it has the same length.
    fits = [known.setdefault(axis.rstrip("'"), n) == n for axis, n in zip(leading, x.shape, strict=False)]
    if len(fits) < len(leading) or not all(fits) or spatial != (free if "space" in axes else ()):
        hint = "integer labels have no class axis; give a one-hot target as floating numbers" if labels else ""
        others = " and the tensors given at construction" if given else ""
        raise UserError(
            f"{declared.name}[{_spell(axes, sizes, shape)}]",
            f"shape {list(x.shape)}",
            hint or f"give {declared.doc or declared.name}, in a shape that agrees with the other inputs{others}",
        )
    sizes.update(known)
    return spatial if "space" in axes else shape


def _spell(axes: Axes, sizes: Mapping[str, int], shape: tuple[int, ...] | None) -> str:
    lengths = [(axis, sizes.get(axis.rstrip("'"))) for axis in axes if axis != "space"]
    spelled = [axis if length is None else f"{axis}={length}" for axis, length in lengths]
    if "space" in axes:
        spelled += ["*space"] if shape is None else [f"space={length}" for length in shape]
    return ", ".join(spelled)


def ignores(labels: Tensor, classes: int, ignore_index: int | None) -> bool:
    """Whether some labels may be ignored; raises `UserError` for labels that are no class.

    Only labels on the CPU are looked at: elsewhere that would wait for the device, so there every label may be
    ignored, and one out of range is met by the device's own check. So it is inside functorch transforms.
    """
    if not labels.is_cpu or is_functorch_wrapped_tensor(labels):
        return ignore_index is not None
    lowest, highest = labels.aminmax()
    if lowest.item() >= 0 and highest.item() < classes:
        return ignore_index is not None and 0 <= ignore_index < classes
    wrong = (labels < 0) | (labels >= classes)
    if ignore_index is not None:
        wrong &= labels != ignore_index
    if bool(wrong.any()):
        found = ", ".join(map(str, labels[wrong].unique()[:5].tolist()))
        allowed = "" if ignore_index is None else f" or ignore_index {ignore_index}"
        raise UserError(f"target labels in [0, {classes - 1}]{allowed}", found, "correct the labels or `ignore_index`")
    return True
