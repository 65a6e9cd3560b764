"""Signatures of totals over several component losses."""

from __future__ import annotations

from lossearch.ir.core.interval import UNIT, Interval
from lossearch.ir.core.signature import DOMAIN, Input, Signature, register_signature

_LOSSES = Input("losses", ("component",), DOMAIN, doc="component losses")

WEIGHTED_COMPONENTS = register_signature(
    Signature(
        "weighted_components",
        (_LOSSES, Input("weights", ("component",), DOMAIN, "buffer", doc="weight of each component")),
        "component losses with fixed weights",
        family="combining",
    )
)

UNCERTAIN_COMPONENTS = register_signature(
    Signature(
        "uncertain_components",
        (
            _LOSSES,
            Input(
                "log_variance",
                ("component",),
                Interval(-30.0, 30.0),
                "buffer",
                doc="initial log-variance of each component's noise",
                learnable=True,
            ),
            Input("factor", ("component",), UNIT, "buffer", doc="½ for a squared error, 1 for a cross-entropy"),
        ),
        "component losses with learned log-variances",
        family="combining",
    )
)

AVERAGED_COMPONENTS = register_signature(
    Signature(
        "averaged_components",
        (
            _LOSSES,
            Input("last", ("component",), Interval(0.0, 1e4), "target", doc="mean losses of the last epoch, > 0"),
            Input("before", ("component",), Interval(0.0, 1e4), "target", doc="those of the epoch before it, > 0"),
        ),
        "component losses with their course over the last two epochs",
        family="combining",
    )
)

WEIGHTS_OF_COMPONENTS = register_signature(
    Signature(
        "weights_of_components",
        (
            Input("weights", ("component",), Interval(0.0, 1e4), doc="weight of each component loss"),
            Input(
                "norms",
                ("component",),
                Interval(0.0, 1e4),
                "target",
                doc="norm of each unweighted component's gradient at shared parameters",
            ),
            Input(
                "rates",
                ("component",),
                Interval(0.0, 1e4),
                "target",
                doc="each loss relative to its first value, over the mean of these",
            ),
        ),
        "weights of component losses, judged by the gradients that they scale",
        family="combining",
    )
)
