"""Operators on neighbourhoods in space, at any resolution of it: one row each."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lossearch.ir.core.axes import LARGEST_AXIS, RESOLUTIONS, SPATIAL_AXES, without
from lossearch.ir.core.interval import UNIT, Interval
from lossearch.ir.core.operator import Helper, Operator, register, require_real
from lossearch.ir.core.types import IllTyped, Type
from lossearch.ir.operators import masks

if TYPE_CHECKING:
    from lossearch.ir.core.expr import Expr


def resolution(argument: Expr) -> str:
    """The one resolution of space that an argument has; its entries are the last dimension."""
    found = [axis for axis in argument.axes if axis.rstrip("'") in RESOLUTIONS]
    if len(found) != 1 or found[0] not in RESOLUTIONS or argument.axes[-1] != found[0]:
        raise IllTyped(
            f"an argument with one axis among {', '.join(RESOLUTIONS)}", str(argument.type), "work before the pairing"
        )
    return found[0]


def _in_space(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    require_real(operator, arguments)
    resolution(arguments[0])
    return Type(arguments[0].type.axes, arguments[0].type.interval)


def shape_source(node: Expr) -> str:
    """Source of the spatial shape at a node's resolution."""
    factor = 2 ** RESOLUTIONS.index(node.axes[-1].rstrip("'"))
    return "shape" if factor == 1 else f"[(n - 1) // {factor} + 1 for n in shape]"  # as pooling spells it


def _difference(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    argument = _in_space(operator, arguments, attributes)
    if attributes["along"] not in SPATIAL_AXES:
        raise IllTyped(f"a direction among {', '.join(SPATIAL_AXES)}", str(attributes["along"]), "correct `along`")
    span = argument.interval.upper - argument.interval.lower
    return Type(argument.axes, Interval(-span, span))


_DIFFERENCE = Helper(
    "spatial_difference",
    '''
def spatial_difference(x: Tensor, shape: List[int], back: int) -> Tensor:
    """Forward difference along a spatial axis counted from the last; zero at the far edge and for absent axes."""
    if back > len(shape):
        return 0.0 * x  # zero, with a gradient of zero
    image = x.unflatten(-1, shape)
    edge = image.narrow(-back, shape[-back] - 1, 1)
    return torch.diff(image, dim=-back, append=edge).flatten(-len(shape))
''',
)


def _emit_difference(sources: Sequence[str], node: Expr) -> str:
    return f"spatial_difference({sources[0]}, {shape_source(node)}, {SPATIAL_AXES.index(node.attr('along')) + 1})"


register(
    Operator(
        "difference",
        1,
        _difference,
        _emit_difference,
        "Forward difference along width, height or depth; zero at the far edge.",
        slopes=lambda a, **_: (2.0,),
        latex="\\nabla_{{\\mathrm{{{along}}}}} {0}",
        attributes=(("along", ...),),
        helper=_DIFFERENCE,
        masked=masks.differences,
    )
)


def _variation(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    span = _difference(operator, arguments, attributes).interval.upper
    if attributes["power"] not in (1, 2):
        raise IllTyped("a power of 1 or 2", str(attributes["power"]), "use difference")
    largest = span if attributes["power"] == 1 else span * span
    axes = without(arguments[0].type.axes, (resolution(arguments[0]),))
    return Type(axes, Interval(0.0, largest * LARGEST_AXIS))


_VARIATION = Helper(
    "variation",
    '''
def variation(x: Tensor, shape: List[int], back: int, power: int) -> Tensor:
    """Sum over space of |forward difference|^power along an axis counted from the last; zero for an absent axis."""
    if len(shape) == 0:
        return 0.0 * x.sum(-1)  # zero, with a gradient of zero
    if back > len(shape):
        return x.new_zeros(x.shape[:-1])
    step = torch.diff(x.unflatten(-1, shape), dim=-back)
    size = torch.abs(step) if power == 1 else torch.square(step)
    return size.flatten(-len(shape)).sum(-1)
''',
)


def _emit_variation(sources: Sequence[str], node: Expr) -> str:
    back = SPATIAL_AXES.index(node.attr("along")) + 1
    return f"variation({sources[0]}, {shape_source(node.args[0])}, {back}, {node.attr('power')})"


register(
    Operator(
        "variation",
        1,
        _variation,
        _emit_variation,
        "Sum over space of absolute or squared forward differences along one direction.",
        slopes=lambda a, **_: (math.inf,),
        latex="\\sum |\\nabla_{{\\mathrm{{{along}}}}} {0}|^{{{power}}}",
        attributes=(("along", ...), ("power", 1)),
        helper=_VARIATION,
        internal=True,
    )
)


LARGEST_WINDOW = 255


def _window(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    size = attributes["size"]
    if not 1 <= size <= LARGEST_WINDOW or size % 2 == 0:
        raise IllTyped(f"an odd window size from 1 to {LARGEST_WINDOW}", str(size), "use 3, 5, 7, 11 …")
    if not 0.0 < attributes.get("sigma", 1.0) < math.inf:
        raise IllTyped("a finite window width sigma > 0", str(attributes["sigma"]), "correct `sigma`")
    return _in_space(operator, arguments, attributes)


_WINDOW_MEAN = Helper(
    "window_mean",
    '''
def window_mean(x: Tensor, shape: List[int], size: int, sigma: float) -> Tensor:
    """Gaussian mean of each spatial neighbourhood, separable; at the border over the part inside."""
    if len(shape) == 0:
        return x
    out = x
    inner = 1
    for axis in range(len(shape)):
        length = shape[-1 - axis]
        place = torch.arange(length, dtype=x.dtype, device=x.device)
        if length <= 512:  # one product with a banded matrix is quicker than a convolution
            steps = place.unsqueeze(1) - place
            weight = torch.exp(-0.5 * (steps / sigma) ** 2) * (steps.abs() <= size // 2)
            weight = weight / weight.sum(1, keepdim=True)
            if inner == 1:
                # Through one axis: from several at once, torch.export guards a remainder by the batch's size.
                out = torch.mm(out.reshape(-1).reshape(-1, length), weight.T)
            else:
                out = torch.matmul(weight, out.reshape(-1, length, inner))
        else:
            kernel = torch.exp(-0.5 * ((place[:size] - size // 2) / sigma) ** 2).reshape(1, 1, -1)
            rows = out.reshape(-1, length, inner).transpose(1, 2).reshape(-1, 1, length)
            inside = F.conv1d(torch.ones_like(rows[:1]), kernel, padding=size // 2)
            mean = F.conv1d(rows, kernel, padding=size // 2) / inside
            out = mean.reshape(-1, inner, length).transpose(1, 2)
        inner *= length
    return out.reshape(x.shape)
''',
)


def _emit_local_mean(sources: Sequence[str], node: Expr) -> str:
    """A Gaussian of infinite width weighs all alike."""
    return f"window_mean({sources[0]}, {shape_source(node)}, {node.attr('size')}, math.inf)"


def _emit_gaussian(sources: Sequence[str], node: Expr) -> str:
    return f"window_mean({sources[0]}, {shape_source(node)}, {node.attr('size')}, {node.attr('sigma')!r})"


register(
    Operator(
        "local_mean",
        1,
        _window,
        _emit_local_mean,
        "Mean of each spatial neighbourhood of `size` per axis; at the border over the part inside.",
        slopes=lambda a, **_: (8.0,),
        latex="\\operatorname{{mean}}_{{{size}}} {0}",
        attributes=(("size", ...),),
        products=lambda node: True,
        helper=_WINDOW_MEAN,
        masked=masks.window_means,
    )
)
register(
    Operator(
        "gaussian_window",
        1,
        _window,
        _emit_gaussian,
        "Gaussian-weighted mean of each spatial neighbourhood of `size` per axis with width `sigma`.",
        slopes=lambda a, **_: (8.0,),
        latex="G_{{{sigma}}} * {0}",
        attributes=(("size", ...), ("sigma", ...)),
        products=lambda node: True,
        helper=_WINDOW_MEAN,
        masked=masks.window_means,
    )
)


def _interior(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    _window(operator, arguments, attributes)
    return Type((resolution(arguments[0]),), UNIT)


_INTERIOR = Helper(
    "interior",
    '''
def interior(x: Tensor, shape: List[int], size: int) -> Tensor:
    """One where a window of `size` per axis fits inside, else zero, over the spatial axes as one."""
    inside = x.new_ones([1])
    for length in shape:
        place = torch.arange(length, device=x.device)
        fits = (place >= size // 2) & (place < length - size // 2)
        inside = (inside.unsqueeze(-1) * fits.to(x.dtype)).flatten()
    return inside
''',
)


def _emit_interior(sources: Sequence[str], node: Expr) -> str:
    return f"interior({sources[0]}, {shape_source(node)}, {node.attr('size')})"


register(
    Operator(
        "interior",
        1,
        _interior,
        _emit_interior,
        "One where a window of `size` per axis fits inside the image, else zero.",
        slopes=lambda a, **_: (0.0,),
        latex="\\mathbb{{1}}^{{\\mathrm{{inside}}}}_{{{size}}}",
        attributes=(("size", ...),),
        helper=_INTERIOR,
        masked=masks.windows_inside,
    )
)


def _downsample(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    require_real(operator, arguments)
    (argument,) = arguments
    finer = resolution(argument)
    if finer == RESOLUTIONS[-1]:
        raise IllTyped(f"an argument at a resolution above {finer}", str(argument.type), "halve four times at most")
    coarser = RESOLUTIONS[RESOLUTIONS.index(finer) + 1]
    return Type((*without(argument.axes, (finer,)), coarser), argument.type.interval)


# Not F.avg_pool1d with ceil_mode: torch.compile has a wrong gradient at the last of five (torch 2.13). Not slices of
# two: torch.export would then demand two numbers at least, which an empty batch has not.
_HALVED = Helper(
    "halved",
    '''
def halved(x: Tensor, shape: List[int]) -> Tensor:
    """Mean of each pair of neighbours along every spatial axis; a last one without neighbour stays as it is."""
    if len(shape) == 0:
        return x
    out = x.unflatten(-1, shape)
    for axis in range(len(shape)):
        length = shape[-1 - axis]
        first = 2 * torch.arange((length - 1) // 2 + 1, device=x.device)
        second = torch.clamp_max(first + 1, length - 1)
        out = (out.index_select(-1 - axis, first) + out.index_select(-1 - axis, second)) / 2
    return out.flatten(-len(shape))
''',
)


def _emit_downsample(sources: Sequence[str], node: Expr) -> str:
    return f"halved({sources[0]}, {shape_source(node.args[0])})"


register(
    Operator(
        "downsample",
        1,
        _downsample,
        _emit_downsample,
        "Half the resolution: means over blocks of two per axis; at the far edge over the part inside.",
        slopes=lambda a, **_: (1.0,),
        latex="{0}\\!\\downarrow_2",
        scatters=lambda node: True,  # the gradient of index_select
        helper=_HALVED,
        masked=masks.block_means,
    )
)
