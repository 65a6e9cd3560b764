"""Losses of the dense family that are families themselves: many numbers, to be searched rather than chosen."""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import REAL, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import hand_designed

SIGNATURE = "dense"


def _theta(index: int, default: float) -> Parameter:
    return Parameter(f"theta{index}", default, -10.0, 10.0, tunable=True, search=(-3.0, 3.0), defined=REAL)


@hand_designed(
    signature=SIGNATURE,
    source="Gonzalez and Miikkulainen 2021",
    parameters=[_theta(index, value) for index, value in enumerate((0.0, 1.0, 0.0, 0.0, 0.0, -1.0, 1.0, 0.0))],
)
def taylor(
    logits: Expr,
    target: Expr,
    theta0: Expr,
    theta1: Expr,
    theta2: Expr,
    theta3: Expr,
    theta4: Expr,
    theta5: Expr,
    theta6: Expr,
    theta7: Expr,
) -> Expr:
    """TaylorGLO: Σ_c θ2·b + θ3·b²/2 + θ4·b³/6 + θ5·a·b + θ6·a·b²/2 + θ7·a²·b/2, with a = t_c - θ0, b = p_c - θ1.

    Every polynomial of third order in target t and probability p around (θ0, θ1), without the terms of the target
    alone, which have no gradient. The paper searches θ by CMA-ES, and multiplies by -1/C for C classes. The defaults
    give Σ_c t_c [(1 - p_c) + (1 - p_c)²/2], the first two terms of the series of cross-entropy.
    """
    a, b = target - theta0, fn.softmax(logits, "class") - theta1
    alone = theta2 * b + theta3 * fn.square(b) / 2.0 + theta4 * b**3.0 / 6.0
    mixed = theta5 * (a * b) + theta6 * (a * fn.square(b)) / 2.0 + theta7 * (fn.square(a) * b) / 2.0
    return fn.sum(alone + mixed, "class")
