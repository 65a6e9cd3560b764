"""Losses of the dense family that take a map of distances to boundaries, computed once for each true mask."""

from __future__ import annotations

import lossearch.primitives as pr
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import NON_NEGATIVE, POSITIVE, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.overlap import over_foreground
from lossearch.zoo.registry import choose, hand_designed


@hand_designed(signature="boundary_map", source="Kervadec et al. 2019")
def boundary(logits: Expr, distance: Expr, *, background: bool = False) -> Expr | tuple[Expr, Expr]:
    """Boundary loss p_c·φ_c with φ_c the signed distance to the boundary of class c, negative inside.

    Negative where a region is found; meant to be added to an overlap loss. Class 0 is left out of the mean and the
    sum, as in the paper, unless `background` is true; with two classes both halves say the same.
    """
    return over_foreground(fn.softmax(logits, "class") * distance, logits, background)


@hand_designed(
    signature="boundary_distance",
    source="Ronneberger et al. 2015",
    parameters=[
        Parameter("w0", 10.0, 0.0, 1e3, tunable=True, search=(0.0, 50.0), defined=NON_NEGATIVE),
        Parameter("sigma", 5.0, 0.1, 1e3, tunable=True, log=True, search=(1.0, 50.0), defined=POSITIVE),
    ],
)
def boundary_weighted_cross_entropy(
    logits: Expr,
    target: Expr,
    distance: Expr,
    class_weight: Expr,
    w0: Expr,
    sigma: Expr,
    *,
    class_balance: bool = False,
) -> Expr:
    """Cross-entropy times 1 + w₀·e^(-d²/(2σ²)), which weighs the gaps between touching objects.

    d is the sum of the distances to the borders of the nearest and second nearest object, in the units of σ. The mean
    divides by the number of elements. `class_balance=True` has the class's weight in place of 1, as the paper has;
    a `weight` that is given without it multiplies the whole.
    """
    balance = choose("class_balance", class_balance, {True: fn.contract(target, class_weight, "class"), False: 1.0})
    return (balance + w0 * pr.gaussian_proximity(distance, sigma)) * pr.cross_entropy(logits, target)
