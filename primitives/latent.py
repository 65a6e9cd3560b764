"""Latent distributions: `mean[batch, feature]` and `log_variance[batch, feature]` of independent Gaussians."""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.primitive import primitive
from lossearch.ir.operators import functions as fn

FAMILY = "latent"


@primitive(family=FAMILY)
def gaussian_kl(mean: Expr, log_variance: Expr) -> Expr:
    """Divergence Σ (σ² + μ² - 1 - log σ²)/2 from the standard normal: [batch], ≥ 0. Kingma and Welling 2014."""
    # σ² - 1 = expm1(log σ²) is exact near one.
    return fn.sum(fn.expm1(log_variance) + fn.square(mean) - log_variance, "feature") / 2
