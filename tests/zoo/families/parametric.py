"""Losses with many numbers: the paper's polynomial, summed term by term from its coefficients and exponents."""

from __future__ import annotations

import math

import torch
from torch import Tensor

from ..harness import Case
from ..samples import Samples

EXPONENTS = {2: (0, 1), 3: (0, 2), 4: (0, 3), 5: (1, 1), 6: (1, 2), 7: (2, 1)}
"""Powers of target and probability of each coefficient."""


def taylor(logits: Tensor, target: Tensor, **theta: float) -> Tensor:
    """Equation of the third order of Gonzalez and Miikkulainen, without its factor -1/C."""
    a, b = target - theta["theta0"], torch.softmax(logits, 1) - theta["theta1"]
    total = torch.zeros_like(b)
    for index, (of_target, of_probability) in EXPONENTS.items():
        factorials = math.factorial(of_target) * math.factorial(of_probability)
        total = total + theta[f"theta{index}"] / factorials * a**of_target * b**of_probability
    return total.sum(1)


def thetas(*values: float) -> dict[str, float]:
    return {f"theta{index}": value for index, value in enumerate(values)}


CASES = [
    Case("taylor", taylor, thetas(0.0, 1.0, 0.0, 0.0, 0.0, -1.0, 1.0, 0.0)),
    Case("taylor", taylor, thetas(0.3, -0.7, 1.5, -2.0, 3.0, 0.6, -1.1, 0.4)),
]

ORDINARY: dict[str, Samples] = {}
EMPTY: dict[str, Samples] = {}
EXTREME: dict[str, Samples] = {}
