"""Losses of the dense family that take a map of distances to boundaries, computed once for each true mask."""

from __future__ import annotations

from lossearch import primitives as pr
from lossearch.ir import functions as fn
from lossearch.ir.expr import Expr
from lossearch.ir.graph import Parameter
from lossearch.zoo.overlap import over_foreground
from lossearch.zoo.registry import hand_designed


@hand_designed(signature="boundary_map", source="Kervadec et al. 2019")
def boundary(logits: Expr, distance: Expr, *, background: bool = True) -> Expr | tuple[Expr, Expr]:
    """Boundary loss p_c·φ_c with φ_c the signed distance to the boundary of class c, negative inside.

    Meant to be added to an overlap loss, whose regions it moves. `background=False` leaves class 0 out, as the paper
    does with two classes, where both halves say the same.
    """
    return over_foreground(fn.softmax(logits, "class") * distance, logits, background)


@hand_designed(
    signature="boundary_distance",
    source="Ronneberger et al. 2015",
    parameters=[
        Parameter("w0", 10.0, 0.0, 1e3, tunable=True),
        Parameter("sigma", 5.0, 0.1, 1e3, tunable=True, log=True),
    ],
)
def boundary_weighted_cross_entropy(logits: Expr, target: Expr, distance: Expr, w0: Expr, sigma: Expr) -> Expr:
    """Cross-entropy times 1 + w₀·e^(-d²/(2σ²)), which weighs the gaps between touching objects.

    d is the sum of the distances to the borders of the nearest and second nearest object, in the units of σ. The mean
    divides by the number of elements.
    """
    return (1 + w0 * pr.gaussian_proximity(distance, sigma)) * pr.cross_entropy(logits, target)
