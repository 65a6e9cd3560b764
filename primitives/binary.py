"""Every class against the rest: `logits[batch, class, *space]` are log-odds of one class each, for a sigmoid.

`target[batch, class, *space]` in [0, 1] says of each class by itself whether it is there: several may be, or none, and
its entries need not sum to one. All keep the class axis.
"""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.primitive import primitive
from lossearch.ir.operators import functions as fn

FAMILY = "binary"


@primitive(family=FAMILY)
def binary_cross_entropy(logits: Expr, target: Expr) -> Expr:
    """-t log σ(x) - (1 - t) log(1 - σ(x)): elementwise, ≥ 0. Good 1952."""
    # -log σ(x) = softplus(-x) is exact for either sign of x, where softplus(x) - t·x cancels.
    return target * fn.softplus(-logits) + (1 - target) * fn.softplus(logits)


@primitive(family=FAMILY)
def binary_focal_term(logits: Expr, gamma: Expr) -> Expr:
    """-(1 - p)^γ log p with p = σ(x): what a present class costs; elementwise, ≥ 0; gamma ≥ 0. Lin et al. 2017."""
    # 1 - p = e^(-softplus(x)), so that no power of a number near zero is taken.
    return fn.exp(-(gamma * fn.softplus(logits))) * fn.softplus(-logits)


@primitive(family=FAMILY)
def signed_logits(logits: Expr, target: Expr) -> Expr:
    """(2t - 1)·x: the score in favour of the truth, for losses of a margin; elementwise."""
    return (2 * target - 1) * logits
