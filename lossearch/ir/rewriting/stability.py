"""Numerical stability: identities that avoid overflow, cancellation and poles."""

from __future__ import annotations

from lossearch.ir.core.expr import Expr
from lossearch.ir.core.interval import LARGEST_EXPONENT
from lossearch.ir.rewriting.rule import Rule, Table


def _below_guard(x: Expr) -> bool:
    return x.upper <= LARGEST_EXPONENT


STABILITY = Table(
    "stability",
    [
        Rule("log(softmax(x, over=a)) = log_softmax(x, over=a)"),
        Rule("exp(log_softmax(x, over=a)) = softmax(x, over=a)"),
        Rule("log(sum(exp(x), over=a)) = logsumexp(x, over=a)"),
        Rule("log(sigmoid(x)) = neg(softplus(neg(x)))"),
        Rule("log(1 - sigmoid(x)) = neg(softplus(x))"),
        Rule("log(1 - softmax(x, over=a)) = log1p(neg(softmax(x, over=a)))"),
        Rule("1 - sigmoid(x) = sigmoid(neg(x))"),
        Rule("log(1 + exp(x)) = softplus(x)"),
        Rule("log1p(exp(x)) = softplus(x)"),
        Rule("log1p(neg(sigmoid(x))) = neg(softplus(x))"),
        Rule("log(1 + x) = log1p(x)", when=lambda b: b["x"].lower >= -1.0),
        Rule("exp(x) - 1 = expm1(x)"),
        Rule("1 - exp(x) = neg(expm1(x))"),
        # Beyond e^60 exp is held, so that the identity ends there.
        Rule("exp(x) ** y = exp(x * y)", when=lambda b: _below_guard(b["x"]) and _below_guard(b["x"] * b["y"])),
        Rule("sqrt(sum(square(x), over=a)) = norm(x, over=a)"),
        Rule("sqrt(contract(x, x, over=a)) = norm(x, over=a)"),
        # A fractional power of a probability has an unbounded slope at zero; through the logarithm it is bounded.
        Rule("softmax(x, over=a) ** y = exp(y * log_softmax(x, over=a))", when=lambda b: b["y"].lower >= 0.0),
    ],
)
