"""What a module is called with, checked against the signature before anything is computed."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch._C._functorch import is_functorch_wrapped_tensor
from torch._subclasses.fake_tensor import FakeTensor

from lossearch.compile.layout import Layout, layout_of, takes_rows
from lossearch.compile.targets import (
    BINARY,
    CLASS,
    FOREGROUND,
    SEVERAL_CLASSES,
    class_by_class,
    needs_classes,
    takes_signs,
)
from lossearch.errors import UserError
from lossearch.ir.core.axes import RESOLUTIONS, Axes
from lossearch.ir.core.expr import postorder
from lossearch.ir.core.graph import Graph
from lossearch.ir.core.interval import Interval
from lossearch.ir.core.signature import Input

REMEMBERED = 256
"""How many combinations of shapes and dtypes are remembered as sound."""

SIGNS = Interval(-1.0, 1.0)
"""Domain of a target that is 1 or -1."""

CORNERS = 4
"""How many coordinates a box has."""


@dataclass
class Geometry:
    """What a sound set of inputs looks like.

    Attributes:
        labels: Whether the target is labels, which the loss takes as such.
        foreground: Whether the target is labels 1 and 0 of a single class, or its probabilities without an axis for it.
        integers: Whether the target is integers or booleans, whatever they mean.
        channel: Whether the target has an axis of classes.
        shape: Lengths of the spatial axes.
        sizes: Length of every other axis by name.
        classes: How many classes integers in the target may name, or zero.
        lowest: The lowest integer that the target may have: -1 where a loss takes signs, else 0.
        dtype: The dtype to compute in.
        device: Where the inputs are: "cpu", "cuda" …
        empty: Whether there is nothing to compute: an axis has length zero.
        autocast: Whether that kind of device has autocast.
        direct: What can be called with the inputs as they are where nothing is ignored, once that is known.
        strict: Whether that refuses every label that is no class.
        layout: How the inputs must be arranged first; then nothing else is known of them.
    """

    labels: bool
    foreground: bool
    integers: bool
    channel: bool
    shape: tuple[int, ...]
    sizes: Mapping[str, int]
    classes: int
    lowest: int
    dtype: torch.dtype
    device: str
    empty: bool
    autocast: bool
    direct: Callable[..., Tensor] | None = None
    strict: bool = False
    layout: Layout | None = None


class InputChecker:
    """Checks inputs of a graph's signature; a combination of shapes and dtypes is checked once."""

    def __init__(self, graph: Graph, sizes: Mapping[str, int]) -> None:
        self._signature = graph.signature
        self._inputs = graph.signature.forward_inputs
        self.sizes = dict(sizes)
        self._least = _least_sizes(graph)
        self._given = numbers_given(graph)
        self._extent = least_extent(graph)
        self._apart = class_by_class(graph)
        self._rows = takes_rows(graph)
        self._signs = takes_signs(graph)
        self._needs_classes = needs_classes(graph)
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
            found = self.check(inputs)
            if len(self._sound) >= REMEMBERED:
                self._sound.clear()
            self._sound[key] = found
        return found

    def forget(self) -> None:
        """Forget what was seen, after an option of the module was changed."""
        self._sound.clear()

    def __getstate__(self) -> dict[str, Any]:
        # What was seen may hold compiled functions, which cannot be copied or pickled.
        return {**self.__dict__, "_sound": {}}

    def _length_of(self, axis: str, sizes: Mapping[str, int]) -> int:
        """How many classes labels are of: labels alone do not tell."""
        if axis not in sizes:
            known = [one.name for one in self._signature.inputs if axis in one.axes and not one.labels]
            raise UserError(f"the length of {axis}", "labels alone", f"give {' or '.join(known)} to the module")
        return sizes[axis]

    def check(self, inputs: Sequence[Any]) -> Geometry:
        """As a call, without remembering: lengths may be symbols of whoever traces it."""
        if len(inputs) != len(self._inputs):
            names = ", ".join(declared.name for declared in self._inputs)
            raise UserError(f"{len(self._inputs)} inputs ({names})", f"{len(inputs)}", "correct the call")
        classes = self.sizes.get(CLASS, self._given.get(CLASS, 0))
        if (layout := layout_of(self._inputs, inputs, classes, self._rows, self._apart)) is not None:
            return _to_be_arranged(layout)
        sizes: dict[str, int] = dict(self.sizes)
        shape: tuple[int, ...] | None = None
        target = _Reading()
        for declared, x in zip(self._inputs, inputs, strict=True):
            if not isinstance(x, Tensor):
                raise UserError(f"{declared.name} as a tensor", type(x).__name__, "convert it with torch.as_tensor")
            if x.device != inputs[0].device:
                hint = f"{declared.name} on {x.device}"
                raise UserError(f"all inputs on {inputs[0].device}", hint, "move it with .to(device)")
            axes = declared.axes
            if declared.labels:
                target = self._read(declared, x, sizes, shape)
                axes = declared.axes if target.channel else without(declared.axes, (declared.labels,))
            else:
                _check_dtype(declared, x)
            shape = _check_shape(declared, x, axes, target.labels, sizes, shape, bool(self.sizes))
        if self._needs_classes and sizes.get(CLASS) == 1:
            hint = "give two or more" if self._signature.scores is None else f"for one foreground class use {BINARY}"
            raise UserError(SEVERAL_CLASSES, "class of length 1", hint)
        if sizes.get("coord", CORNERS) != CORNERS:
            raise UserError(f"coord of length {CORNERS}", str(sizes["coord"]), "give boxes as x1, y1, x2, y2")
        lengths = {**sizes, "space": math.prod(shape or ())}
        for axis, least in self._least.items():
            if lengths[axis.rstrip("'")] < least:
                found = str(lengths[axis.rstrip("'")])
                raise UserError(f"{axis} of length ≥ {least}", found, "correct the inputs' shape")
        for axis, length in self._given.items():
            if lengths[axis] != length:
                required = f"{axis} of length {length}, one for each of the numbers given"
                raise UserError(required, str(lengths[axis]), "give as many numbers as there are entries")
        if self._extent and min(shape or (0,)) < self._extent:
            found = f"space [{', '.join(map(str, shape or ()))}]"
            raise UserError(f"every spatial axis of length ≥ {self._extent}", found, "give larger images")
        floating = [x.dtype for x in inputs if x.is_floating_point()]
        dtype = torch.float32
        for other in floating:
            dtype = torch.promote_types(dtype, other)
        empty = 0 in (*sizes.values(), *(shape or ()))
        classes = next((self._length_of(i.labels, sizes) for i in self._inputs if i.labels), 0)
        if target.foreground or (target.integers and target.channel):
            classes = FOREGROUND
        lowest = -1 if self._signs and not target.labels else 0
        device = inputs[0].device.type
        return Geometry(
            target.labels,
            target.foreground,
            target.integers,
            target.channel,
            shape or (),
            sizes,
            classes,
            lowest,
            dtype,
            device,
            empty,
            torch.amp.is_autocast_available(device),
        )

    def _read(self, declared: Input, x: Tensor, sizes: Mapping[str, int], shape: tuple[int, ...] | None) -> _Reading:
        """What the kind of number, and whether there is an axis of classes, say about a target."""
        assert declared.labels is not None
        classes = sizes.get(declared.labels, 0)
        integers = not x.is_floating_point()
        if integers and (x.is_complex() or (x.dtype == torch.bool and not self._apart and classes != FOREGROUND)):
            required = f"{declared.name} of a floating dtype or integer labels"
            raise UserError(required, str(x.dtype), "convert it with .float() or .long()")
        if not self._apart:
            return _Reading(labels=integers, integers=integers, channel=not integers)
        dimensions = len(without(declared.axes, ("space",))) + len(shape or ())
        if classes == 1:
            channel = x.dim() == dimensions
            return _Reading(foreground=integers or not channel, integers=integers, channel=channel)
        channel = not integers or x.dim() == dimensions
        return _Reading(labels=not channel, integers=integers, channel=channel)


def _to_be_arranged(layout: Layout) -> Geometry:
    return Geometry(False, False, False, False, (), {}, 0, 0, torch.float32, "cpu", False, False, layout=layout)


@dataclass(frozen=True)
class _Reading:
    """How a target is read; see `Geometry`."""

    labels: bool = False
    foreground: bool = False
    integers: bool = False
    channel: bool = True


def without(axes: Axes, removed: Axes) -> Axes:
    """As `ir.axes.without`, which remembers: torch.compile traces this one, and warns of functions that remember."""
    return tuple([axis for axis in axes if axis not in removed])


def _least_sizes(graph: Graph) -> dict[str, int]:
    """Axes of fixed meaning are as long as the entries that the loss selects need."""
    least: dict[str, int] = {}
    for node in postorder(graph.expanded().roots):
        if node.op == "select":
            (axis,) = node.attr("over")
            if any(axis in declared.axes for declared in graph.signature.inputs):
                least[axis] = max(least.get(axis, 0), node.attr("index") + 1)
    return least


def numbers_given(graph: Graph) -> dict[str, int]:
    """Axes along which a loss has numbers of its own are as long as these are many."""
    given = [node for node in postorder(graph.expanded().roots) if node.op == "along"]
    return {node.axes[0]: len(node.attr("values")) for node in given}


def least_extent(graph: Graph) -> int:
    """How long every spatial axis must be, so that the windows of averages over the interior fit; 0 for no need."""
    least = 0
    for node in postorder(graph.expanded().roots):
        if node.op == "interior":
            factor = 2 ** RESOLUTIONS.index(node.axes[0])
            least = max(least, (node.attr("size") - 1) * factor + 1)
    return least


def _check_dtype(declared: Input, x: Tensor) -> None:
    """Refuse another kind of number than an input that is no target with classes asks for."""
    if declared.kind == "index":
        if x.is_floating_point() or x.is_complex() or x.dtype == torch.bool:
            raise UserError(f"{declared.name} of an integer dtype", str(x.dtype), "convert it with .long()")
    elif not (x.is_floating_point() or takes_integers(declared, x.dtype)):
        hint = "give 1 and -1" if x.dtype == torch.bool and declared.role == "target" else "convert it with .float()"
        raise UserError(f"{declared.name} of a floating dtype", str(x.dtype), hint)


def takes_integers(declared: Input, dtype: torch.dtype) -> bool:
    """Whether integers, or ones and zeros of a mask, stand for the numbers of an input: targets, and boxes."""
    if dtype == torch.bool and declared.domain == SIGNS:  # where zero is not the other sign
        return False
    return not dtype.is_complex and (
        declared.role == "target" or (declared.axes[-1] == "coord" and dtype != torch.bool)
    )


def _check_shape(
    declared: Input,
    x: Tensor,
    axes: Axes,
    labels: bool,
    sizes: dict[str, int],
    shape: tuple[int, ...] | None,
    given: bool,
) -> tuple[int, ...] | None:
    """Compare lengths with those of earlier inputs, and return the spatial shape, known from now on."""
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


def may_ignore(geometry: Geometry, ignore_index: int | None) -> bool:
    """Whether some integers of a target may be ignored, for all that is known without looking at them."""
    return geometry.integers and ignore_index is not None and (geometry.foreground or not geometry.channel)


def ignores(target: Tensor, geometry: Geometry, ignore_index: int | None) -> bool:
    """Whether some integers of a target may be ignored; raises `UserError` for those that name no class.

    They are compared as int64, in which every one has its own value. Only those on the CPU are looked at: elsewhere
    that would wait for the device, so there every label may be ignored, and one out of range is met by the device's
    own check. So it is inside functorch transforms, and for tensors without values.
    """
    if geometry.channel and not geometry.foreground:  # 0 and 1 of each class: an element has no label to ignore
        ignore_index = None
    if not target.is_cpu or is_functorch_wrapped_tensor(target) or isinstance(target, FakeTensor):
        return ignore_index is not None
    labels = target if target.dtype == torch.int64 else target.long()
    least, classes = geometry.lowest, geometry.classes
    lowest, highest = (end.item() for end in labels.aminmax())
    if not (lowest >= least and highest < classes):
        _check_labels(target, labels, geometry, ignore_index)
        return True
    if lowest < 0 and ignore_index not in (-1, 0) and bool((labels == 0).any()):
        raise UserError("target of 0 and 1, or of -1 and 1", "-1, 0 and 1", "correct the labels or `ignore_index`")
    return ignore_index is not None and least <= ignore_index < classes


def present(labels: Tensor, lowest: int, dtype: torch.dtype) -> Tensor:
    """1 where labels are 1 and 0 where they are 0 or -1; others are refused as an index out of range is."""
    table = torch.arange(lowest, 2, dtype=dtype, device=labels.device).clamp_min(0)
    return table.gather(0, (labels - lowest).reshape(-1)).reshape(labels.shape)


def _check_labels(target: Tensor, labels: Tensor, geometry: Geometry, ignore_index: int | None) -> None:
    """Refuse labels that are neither a class nor ignored."""
    wrong = (labels < geometry.lowest) | (labels >= geometry.classes)
    if ignore_index is not None:
        wrong &= labels != ignore_index
    if not bool(wrong.any()):
        return
    found = labels[wrong].unique()[:5].tolist()
    allowed = "" if ignore_index is None else f" or ignore_index {ignore_index}"
    hint = "correct the labels or `ignore_index`"
    if ignore_index is not None and not target.dtype.is_signed and ignore_index % 2 ** (8 * target.itemsize) in found:
        hint = f"{target.dtype} cannot hold {ignore_index}: give signed labels, or another `ignore_index`"
    required = f"target labels in [{geometry.lowest}, {geometry.classes - 1}]{allowed}"
    raise UserError(required, ", ".join(map(str, found)), hint)
