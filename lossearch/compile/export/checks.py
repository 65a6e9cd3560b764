"""What a standalone module checks before it computes: kinds and shapes of its inputs, and that windows fit.

Labels that are no class are left to PyTorch, whose kernels refuse them without another pass over the labels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch

from lossearch.compile.class_weights import attribute
from lossearch.compile.door import CORNERS, SIGNS, least_extent, takes_integers
from lossearch.compile.export.forms import Plan
from lossearch.compile.names import safe
from lossearch.ir.axes import Axes, without
from lossearch.ir.signature import Input

HELPER = '''
def check_input(name: str, x: Tensor, shape: list[int], floating: bool) -> None:
    """Refuse an input of another kind of number, or of a shape that does not agree with the inputs before it."""
    if x.is_floating_point() != floating or x.dtype == torch.bool:
        kind = "a floating" if floating else "an integer"
        raise ValueError(f"{name} must be of {kind} dtype")
    check_shape(name, x, shape)
'''.strip()

_SHAPE = '''
def check_shape(name: str, x: Tensor, shape: list[int]) -> None:
    """Refuse an input of a shape that does not agree with the inputs before it."""
    if list(x.shape) != list(shape):
        raise ValueError(f"{name} must have shape {list(shape)}, not {list(x.shape)}")
'''.strip()

_SIGNS = '''
def check_signs(name: str, x: Tensor) -> None:
    """Refuse a mask where 1 and -1 are wanted, since its zeros would be taken for numbers."""
    if x.dtype == torch.bool:
        raise ValueError(f"{name} must be 1 and -1, not a mask")
'''.strip()


def helpers(plan: Plan) -> list[str]:
    """The functions that the checks call."""
    text = "\n".join(checks(plan))
    called = [helper for helper in (HELPER, _SIGNS) if f"{helper.split('(')[0].removeprefix('def ')}(" in text]
    return [_SHAPE, *called]


def _takes_signs(declared: Input) -> bool:
    return (
        takes_integers(declared, torch.int64) and not takes_integers(declared, torch.bool) and declared.domain == SIGNS
    )


def checks(plan: Plan) -> list[str]:
    """Lines at the start of `forward`, which find the inputs as they were given."""
    lines: list[str] = []
    earlier: list[Input] = []
    for declared in plan.graph.signature.forward_inputs:
        name = safe(declared.name)
        if declared is plan.target:
            lines += [
                f"if {name}.is_floating_point():",
                f"    {_check(plan, declared, declared.axes, earlier, True)}",
                "else:",
            ]
            axes = without(declared.axes, (declared.labels or "",))
            lines += [f"    {_check(plan, declared, axes, earlier, False)}"]
        elif declared.kind == "real" and takes_integers(declared, torch.int64):
            lines += [f'check_signs("{name}", {name})'] if _takes_signs(declared) else []
            lines.append(f'check_shape("{name}", {name}, {_shape(plan, name, declared.axes, earlier)})')
        else:
            lines.append(_check(plan, declared, declared.axes, earlier, declared.kind == "real"))
        earlier.append(declared)
    return [*lines, *_coordinates(plan), *_extent(plan)]


def _check(plan: Plan, declared: Input, axes: Axes, earlier: Sequence[Input], floating: bool) -> str:
    name = safe(declared.name)
    return f'check_input("{name}", {name}, {_shape(plan, name, axes, earlier)}, {floating})'


def _shape(plan: Plan, name: str, axes: Axes, earlier: Sequence[Input]) -> str:
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


def _length(plan: Plan, axis: str, earlier: Sequence[Input]) -> str | None:
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


def _coordinates(plan: Plan) -> list[str]:
    """Lines that refuse boxes of another number of coordinates; the other inputs have the first one's shape."""
    first = plan.graph.signature.forward_inputs[0]
    if first.axes != ("batch", "coord"):
        return []
    name = safe(first.name)
    return [
        f"if len({name}.shape) != 2 or {name}.shape[1] != {CORNERS}:",
        f'    raise ValueError(f"{name} must have shape [batch, {CORNERS}], not {{list({name}.shape)}}")',
    ]


def _extent(plan: Plan) -> list[str]:
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
