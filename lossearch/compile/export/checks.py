"""What a standalone module checks before it computes: kinds and shapes of its inputs, and that windows fit.

Labels that are no class are left to PyTorch, whose kernels refuse them without another pass over the labels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import NamedTuple

import torch

from lossearch.compile.class_weights import attribute
from lossearch.compile.export.forms import ExportPlan
from lossearch.compile.input_checker import CORNERS, least_extent, takes_integers
from lossearch.compile.names import safe
from lossearch.compile.source import definition
from lossearch.compile.targets import CLASS, FOREGROUND, SEVERAL_CLASSES, needs_classes
from lossearch.ir.core.axes import Axes, without
from lossearch.ir.core.operator import Helper
from lossearch.ir.core.signature import Input

_FLOATING = Helper(
    "check_floating",
    '''
def check_floating(name: str, x: Tensor) -> None:
    """Refuse an input of integers or a mask."""
    if not x.is_floating_point():
        raise ValueError(f"{name} must be of a floating dtype")
'''.strip(),
)

_INTEGER = Helper(
    "check_integer",
    '''
def check_integer(name: str, x: Tensor) -> None:
    """Refuse an input of floating numbers or a mask."""
    if x.is_floating_point() or x.dtype == torch.bool:
        raise ValueError(f"{name} must be of an integer dtype")
'''.strip(),
)

_SHAPE = Helper(
    "check_shape",
    '''
def check_shape(name: str, x: Tensor, shape: list[int]) -> None:
    """Refuse an input of a shape that does not agree with the inputs before it."""
    if list(x.shape) != list(shape):
        raise ValueError(f"{name} must have shape {list(shape)}, not {list(x.shape)}")
'''.strip(),
)

_NUMBERS = Helper(
    "check_numbers",
    '''
def check_numbers(name: str, x: Tensor) -> None:
    """Refuse a mask where its zeros would be taken for numbers, as where 1 and -1 are wanted."""
    if x.dtype == torch.bool:
        raise ValueError(f"{name} must be of numbers, not a mask")
'''.strip(),
)


class _Line(NamedTuple):
    """A line of the checks, and the function that it calls."""

    text: str
    calls: Helper | None = None

    def indented(self) -> _Line:
        """The line in a block."""
        return self._replace(text=f"    {self.text}")


def _call(helper: Helper, name: str, *arguments: str) -> _Line:
    """The line that checks an input."""
    given = ", ".join([f'"{name}"', name, *arguments])
    return _Line(f"{helper.name}({given})", helper)


def helpers(plan: ExportPlan) -> list[str]:
    """The functions that the checks call."""
    called = {line.calls for line in _lines(plan)}
    return [helper.source for helper in (_SHAPE, _FLOATING, _INTEGER, _NUMBERS) if helper in called]


def checks(plan: ExportPlan) -> list[str]:
    """Lines at the start of `forward`, which find the inputs as they were given."""
    return [line.text for line in _lines(plan)]


def _lines(plan: ExportPlan) -> list[_Line]:
    lines: list[_Line] = []
    earlier: list[Input] = []
    for declared in plan.graph.signature.forward_inputs:
        name = safe(declared.name)
        if declared is plan.target:
            lines += _check_target(plan, declared, earlier)
        else:
            if declared.kind != "real":
                lines.append(_call(_INTEGER, name))
            elif not takes_integers(declared, torch.int64):
                lines.append(_call(_FLOATING, name))
            elif not takes_integers(declared, torch.bool):
                lines.append(_call(_NUMBERS, name))
            lines += _check_shape(plan, declared, declared.axes, earlier)
        earlier.append(declared)
    return [*lines, *map(_Line, [*_coordinates(plan), *_classes(plan), *_extent(plan)])]


def _check_target(plan: ExportPlan, declared: Input, earlier: Sequence[Input]) -> Iterator[_Line]:
    """Lines for a target that is a distribution, labels or, in a loss of each class, its mask."""
    name, scores, floating = safe(declared.name), plan.scores, f"{safe(declared.name)}.is_floating_point()"
    labels = without(declared.axes, (declared.labels or "",))
    if scores is not None:
        only = "" if plan.by_class else f" and {scores}.shape[1] == {FOREGROUND}"
        yield _Line(f"if {name}.dtype == torch.bool{only}:")
        yield _Line(f"    {name} = {name}.long()")
    whole = floating
    if plan.by_class:  # a mask is integers by now
        whole = f"{name}.dim() == {scores}.dim() or ({floating} and {scores}.shape[1] != 1)"
    yield _Line(f"if {whole}:")
    yield from (line.indented() for line in _check_shape(plan, declared, declared.axes, earlier))
    yield _Line("else:")
    if not plan.by_class:
        yield _call(_INTEGER, name).indented()
    yield from (line.indented() for line in _check_shape(plan, declared, labels, earlier))


def _check_shape(plan: ExportPlan, declared: Input, axes: Axes, earlier: Sequence[Input]) -> list[_Line]:
    """The line that compares a shape with those before it, where they say anything about it."""
    name = safe(declared.name)
    wanted = _shape(plan, name, axes, earlier)
    return [] if wanted == f"{name}.shape" else [_call(_SHAPE, name, wanted)]


def _shape(plan: ExportPlan, name: str, axes: Axes, earlier: Sequence[Input]) -> str:
    """Source of the shape that earlier inputs and tensors of the module ask for, as far as they do."""
    for other in earlier:
        whole = f"{safe(other.name)}.shape"
        if axes == other.axes:
            return whole
        if axes == ("batch", *other.axes[2:]) and other.axes[0] == "batch":
            return f"{whole}[:1] + {whole}[2:]" if axes[1:] else f"{whole}[:1]"
    pieces: list[str] = []
    for place, axis in enumerate(axes):
        known = _length(plan, axis, earlier)
        if known is None:
            return " + ".join([*pieces, f"{name}.shape[{place}:]" if pieces else f"{name}.shape"])
        pieces.append(known)
    return " + ".join(pieces)


def _length(plan: ExportPlan, axis: str, earlier: Sequence[Input]) -> str | None:
    """Source of an axis's length as a shape of one entry."""
    given = [(safe(one.name), one.axes) for one in earlier]
    given += [
        (f"self.{attribute(name)}", plan.graph.signature[name].axes) for name in plan.buffers if plan.graph.uses(name)
    ]
    for source, axes in given:
        if axis in axes and axis != "space":
            place = axes.index(axis)
            return f"{source}.shape[{place or ''}:{place + 1}]"
    return None


def _coordinates(plan: ExportPlan) -> list[str]:
    """Lines that refuse boxes of another number of coordinates; the other inputs have the first one's shape."""
    first = plan.graph.signature.forward_inputs[0]
    if first.axes != ("batch", "coord"):
        return []
    name = safe(first.name)
    return [
        f"if len({name}.shape) != 2 or {name}.shape[1] != {CORNERS}:",
        f'    raise ValueError(f"{name} must have shape [batch, {CORNERS}], not {{list({name}.shape)}}")',
    ]


def _classes(plan: ExportPlan) -> list[str]:
    """Lines that refuse a single class where it has no meaning."""
    if not needs_classes(plan.graph):
        return []
    scores = next(one for one in plan.graph.signature.forward_inputs if CLASS in one.axes)
    name, place = safe(scores.name), scores.axes.index(CLASS)
    return [f"if {name}.shape[{place}] == 1:", f'    raise ValueError("{name} must have {SEVERAL_CLASSES}")']


def nothing(plan: ExportPlan) -> list[str]:
    """A method that returns the loss of an empty batch: zero, or no elements."""
    declared = plan.graph.signature.forward_inputs
    given = [safe(one.name) for one in declared]
    given += [f"self.{safe(b.name)}" for b in plan.graph.signature.buffers if b.learnable and b.name in plan.buffers]
    given += [f"self.{safe(parameter.name)}" for parameter in plan.graph.parameters]
    lines = ['"""The loss of an empty batch, from which inputs and parameters get a zero gradient."""']
    lines += [f"zero = {given[0]}.reshape(-1)[:0].sum()"]
    lines += [f"zero = zero + {name}.reshape(-1)[:0].sum()" for name in given[1:]]
    lines += ["zero = zero.to(torch.promote_types(zero.dtype, torch.float32))"]
    if plan.graph.root.axes:
        lines += ['if self.reduction == "none":', f"    return zero.expand({_root_shape(plan)})"]
    arguments = ["self", *(f"{safe(one.name)}: Tensor" for one in declared)]
    return definition("nothing", arguments, "Tensor", [*lines, "return zero"], indent=4)


def sizing(plan: ExportPlan) -> list[str]:
    """The inputs that have all axes between them."""
    found: list[str] = []
    seen: set[str] = set()
    for declared in plan.graph.signature.forward_inputs:
        if not set(declared.axes) <= seen and (declared is not plan.target or not found):
            found.append(safe(declared.name))
        seen |= set(declared.axes)
    return found


def _root_shape(plan: ExportPlan) -> str:
    """Source of the shape of a loss that is not reduced, as far as the inputs have its axes."""
    inputs = plan.graph.signature.forward_inputs
    pieces: list[str] = []
    for other in inputs:
        if other.axes == plan.graph.root.axes and other is not plan.target:
            return f"{safe(other.name)}.shape"
    for axis in plan.graph.root.axes:
        if axis == "space":
            spatial = next(one for one in inputs if axis in one.axes)
            pieces.append(f"list({safe(spatial.name)}.shape[{spatial.axes.index(axis)}:])")
        else:
            length = _length(plan, axis.rstrip("'"), inputs)
            pieces.append("[0]" if length is None else f"list({length})")
    return " + ".join(pieces)


def _extent(plan: ExportPlan) -> list[str]:
    """Lines that refuse images in which the loss's windows do not fit."""
    least = least_extent(plan.graph)
    if not least:
        return []
    declared = next(one for one in plan.graph.signature.forward_inputs if "space" in one.axes)
    name, sides = safe(declared.name), f"{safe(declared.name)}.shape[{declared.axes.index('space')}:]"
    return [
        f"if len({sides}) == 0 or min({sides}) < {least}:",
        f'    raise ValueError(f"{name} must be {least} or longer along every spatial axis, not {{list({sides})}}")',
    ]
