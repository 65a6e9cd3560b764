"""Special functions, elementwise: one row each."""

from __future__ import annotations

import math

from lossearch.ir.operators.elementwise import elementwise

elementwise(
    "erf",
    1,
    "torch.erf({0})",
    "Error function 2/√π ∫₀ˣ e^(-t²) dt: the normal distribution's Φ(x) is (1 + erf(x/√2))/2.",
    slopes=lambda a: (2.0 / math.sqrt(math.pi),),
    latex="\\operatorname{{erf}}({0})",
    sympy=lambda s, a: s.erf(a),
    value=math.erf,
)
