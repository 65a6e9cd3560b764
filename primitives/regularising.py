"""Terms over class scores that need no label, or only the labels' frequencies; to be added with either sign.

`logits[batch, class, *space]` are unbounded scores.
"""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.primitive import primitive
from lossearch.ir.operators import functions as fn

FAMILY = "regularising"
ELEMENTS = ("batch", "space")


@primitive(family=FAMILY)
def marginal_entropy(logits: Expr) -> Expr:
    """Entropy of the mean prediction over batch and space, in [0, log C]: high where all classes are used; a scalar.

    Krause et al. 2010.
    """
    marginal = fn.mean(fn.softmax(logits, "class"), ELEMENTS)
    return -fn.sum(marginal * fn.log(marginal), "class")


@primitive(family=FAMILY)
def peer_cross_entropy(logits: Expr, target: Expr) -> Expr:
    """Cross-entropy to the mean target of the batch: [batch, *space], ≥ 0.

    Subtracted from cross-entropy it is peer loss in expectation, robust to label noise. Liu and Guo 2020.
    """
    return -fn.contract(fn.mean(target, ELEMENTS), fn.log_softmax(logits, "class"), "class")


@primitive(family=FAMILY)
def pseudo_label_cross_entropy(logits: Expr) -> Expr:
    """Cross-entropy to the predicted class, -max_c log p_c: [batch, *space] in [0, log C]. Reed et al. 2015."""
    return -fn.max(fn.log_softmax(logits, "class"), "class")


@primitive(family=FAMILY)
def log_partition_penalty(logits: Expr) -> Expr:
    """(log Σ_c e^x_c)²: [batch, *space], ≥ 0; keeps the scores' common level near zero. Chowdhery et al. 2022."""
    return fn.square(fn.logsumexp(logits, "class"))


@primitive(family=FAMILY)
def logit_penalty(logits: Expr) -> Expr:
    """Mean square of the scores over classes: [batch, *space], ≥ 0. Kornblith et al. 2021."""
    return fn.mean(fn.square(logits), "class")
