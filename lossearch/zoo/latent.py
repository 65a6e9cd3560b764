"""Losses of variational autoencoders: `reconstruction[batch, *space]`, `target`, and a Gaussian latent distribution."""

from __future__ import annotations

import lossearch.primitives as pr
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.parameter import NON_NEGATIVE, Parameter
from lossearch.ir.operators import functions as fn
from lossearch.zoo.registry import choose, hand_designed


@hand_designed(
    signature="latent",
    source="Kingma and Welling 2014",
    parameters=[Parameter("beta", 1.0, 0.0, 1000.0, tunable=True, search=(0.0, 10.0), defined=NON_NEGATIVE)],
)
def vae(
    reconstruction: Expr, target: Expr, mean: Expr, log_variance: Expr, beta: Expr, *, norm: str = "squared"
) -> Expr:
    """Negative evidence bound of each sample: Σ (x̂ - x)²/2 + β·KL(N(μ, σ²) ‖ N(0, 1)).

    β = 1 is the bound itself, with a decoder of unit variance and without its constant; other β are Higgins et al.
    2017. `norm="absolute"` has Σ |x̂ - x|, a Laplacian decoder.
    """
    residual = reconstruction - target
    error = choose("norm", norm, {"squared": fn.square(residual) / 2, "absolute": fn.abs(residual)})
    return fn.sum(error, "space") + beta * pr.gaussian_kl(mean, log_variance)
