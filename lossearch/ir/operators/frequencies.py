"""Operators on the frequencies of space, at any resolution of it: one row each."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from lossearch.ir.core.axes import LARGEST_AXIS
from lossearch.ir.core.interval import Interval
from lossearch.ir.core.operator import Helper, Operator, register, require_real
from lossearch.ir.core.types import Type
from lossearch.ir.operators.neighbourhood import resolution, shape_source

if TYPE_CHECKING:
    from lossearch.ir.core.expr import Expr


def _spectrum(operator: Operator, arguments: Sequence[Expr], attributes: dict[str, Any]) -> Type:
    require_real(operator, arguments)
    (argument,) = arguments
    resolution(argument)
    # The transform keeps the sum of squares.
    return Type(argument.type.axes, Interval(0.0, argument.type.interval.magnitude**2 * LARGEST_AXIS))


def _slopes(a: Interval, **_: Any) -> tuple[float]:
    """Σ_k |F_k|/√N ≤ √(Σ_k |F_k|²) ≤ √N·max |x|."""
    return (2.0 * a.magnitude * LARGEST_AXIS**0.5,)


# Not torch.fft: it refuses empty batches, for which a branch would fix the batch's size in torch.export, and
# torch.compile has no kernels for complex numbers (torch 2.13). Products with matrices cost a side's length for each
# value: little for sides of some hundreds.
_SPECTRUM = Helper(
    "power_spectrum",
    '''
def power_spectrum(x: Tensor, shape: List[int]) -> Tensor:
    """|F|² of the orthonormal discrete Fourier transform F over space, one axis after another."""
    if len(shape) == 0:
        return torch.square(x)
    real = x.unflatten(-1, shape)
    imaginary = torch.zeros_like(real)
    for axis in range(len(shape)):
        length = shape[-1 - axis]
        place = torch.arange(length, device=x.device)
        turns = (place.unsqueeze(1) * place) % length  # whole turns are left out while they are integers
        angle = 2.0 * math.pi * (turns.to(x.dtype) / length)
        cosine, sine = torch.cos(angle) / length**0.5, torch.sin(angle) / length**0.5
        a, b = real.movedim(-1 - axis, -1), imaginary.movedim(-1 - axis, -1)
        real = (torch.matmul(a, cosine) - torch.matmul(b, sine)).movedim(-1, -1 - axis)
        imaginary = (torch.matmul(a, sine) + torch.matmul(b, cosine)).movedim(-1, -1 - axis)
    return (torch.square(real) + torch.square(imaginary)).flatten(-len(shape))
''',
)


def _emit_spectrum(sources: Sequence[str], node: Expr) -> str:
    return f"power_spectrum({sources[0]}, {shape_source(node)})"


register(
    Operator(
        "power_spectrum",
        1,
        _spectrum,
        _emit_spectrum,
        "Squared size of each frequency of the orthonormal discrete Fourier transform over space.",
        slopes=_slopes,
        latex="\\left|\\mathcal{{F}}({0})\\right|^2",
        products=lambda node: True,
        helper=_SPECTRUM,
    )
)
