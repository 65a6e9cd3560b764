"""Signatures of predictions with annotated targets: classes, boundaries, boxes, numbers."""

from __future__ import annotations

from lossearch.ir.core.interval import UNIT, Interval
from lossearch.ir.core.signature import DOMAIN, Input, Signature, register_signature

CLASS_WEIGHT_INPUT = Input(
    "class_weight", ("class",), Interval(0.0, 1e4), "buffer", doc="weight of each class, as PyTorch's `weight`"
)

CLASS_COUNT_INPUT = Input(
    "class_count", ("class",), Interval(1.0, 1e12), "buffer", doc="training elements of each class, 1 or more"
)

NOISE_RATE_INPUT = Input(
    "noise_rate", (), UNIT, "buffer", doc="estimated share of training labels that are wrong, in [0, 1]"
)

DENSE = register_signature(
    Signature(
        "dense",
        (
            Input("logits", ("batch", "class", "space"), DOMAIN, doc="unnormalised class scores"),
            Input(
                "target",
                ("batch", "class", "space"),
                UNIT,
                "target",
                labels="class",
                doc="class probabilities [batch, class, *space] or integer labels [batch, *space]",
            ),
            CLASS_WEIGHT_INPUT,
            CLASS_COUNT_INPUT,
            NOISE_RATE_INPUT,
        ),
        "classification and segmentation with any number of spatial axes",
    )
)

LOG_TARGET = register_signature(
    Signature(
        "dense_log_target",
        (
            DENSE["logits"],
            Input(
                "target",
                ("batch", "class", "space"),
                Interval(DOMAIN.lower, 0.0),
                "target",
                doc="logarithms of class probabilities [batch, class, *space]",
            ),
        ),
        "classification and segmentation against log-probabilities",
        family="dense",
    ),
    variant=True,
)

BOUNDARY = register_signature(
    Signature(
        "boundary_map",
        (
            Input("logits", ("batch", "class", "space"), DOMAIN, doc="unnormalised class scores"),
            Input(
                "distance",
                ("batch", "class", "space"),
                DOMAIN,
                "target",
                doc="signed distance to each true region's boundary, negative inside",
            ),
        ),
        "segmentation against distance maps of the true regions",
        family="dense",
        rank=2,
    )
)

BOUNDARY_DISTANCE = register_signature(
    Signature(
        "boundary_distance",
        (
            Input("logits", ("batch", "class", "space"), DOMAIN, doc="unnormalised class scores"),
            DENSE["target"],
            Input(
                "distance",
                ("batch", "space"),
                Interval(0.0, DOMAIN.upper),
                "target",
                doc="distance of each element to the borders that matter, ≥ 0",
            ),
            CLASS_WEIGHT_INPUT,
        ),
        "classification and segmentation with a map of distances to borders",
        family="dense",
    )
)

DISTILLATION = register_signature(
    Signature(
        "distillation",
        (
            Input("logits", ("batch", "class", "space"), DOMAIN, doc="unnormalised class scores of the student"),
            DENSE["target"],
            Input("teacher", ("batch", "class", "space"), DOMAIN, "target", doc="class scores of the teacher"),
            CLASS_WEIGHT_INPUT,
        ),
        "classification and segmentation with the class scores of a teacher",
        family="dense",
    )
)

BOX = register_signature(
    Signature(
        "box",
        (
            Input("boxes", ("batch", "coord"), DOMAIN, doc="predicted boxes as x1, y1, x2, y2"),
            Input("target", ("batch", "coord"), DOMAIN, "target", doc="true boxes as x1, y1, x2, y2"),
        ),
        "boxes in corner form with x1 ≤ x2 and y1 ≤ y2",
    )
)

REGRESSION = register_signature(
    Signature(
        "regression",
        (
            Input("prediction", ("batch", "space"), DOMAIN, doc="predicted numbers"),
            Input("target", ("batch", "space"), DOMAIN, "target", doc="true numbers"),
        ),
        "numbers of any shape: tables, time series, maps",
    )
)

REGRESSION_QUANTILES = register_signature(
    Signature(
        "regression_quantiles",
        (
            Input("prediction", ("batch", "quantile", "space"), DOMAIN, doc="predicted quantiles of each number"),
            REGRESSION["target"],
        ),
        "numbers with several predicted quantiles each",
        family="regression",
    ),
    variant=True,
)

REGRESSION_VARIANCE = register_signature(
    Signature(
        "regression_variance",
        (
            *REGRESSION.inputs,
            Input("variance", ("batch", "space"), Interval(0.0, DOMAIN.upper), doc="predicted variance of each number"),
        ),
        "numbers with a predicted variance each",
        family="regression",
    )
)

REGRESSION_COUNTS = register_signature(
    Signature(
        "regression_counts",
        (
            Input("log_mean", ("batch", "space"), DOMAIN, doc="logarithms of the predicted means"),
            Input("target", ("batch", "space"), Interval(0.0, DOMAIN.upper), "target", doc="counts or amounts, ≥ 0"),
        ),
        "counts and amounts, whose mean is predicted by its logarithm",
        family="regression",
    )
)

REGRESSION_VECTOR = register_signature(
    Signature(
        "regression_vector",
        (
            Input("prediction", ("batch", "feature"), DOMAIN, doc="predicted vectors"),
            Input("target", ("batch", "feature"), DOMAIN, "target", doc="true vectors"),
            Input(
                "precision",
                ("feature", "feature'"),
                DOMAIN,
                "buffer",
                doc="inverse of the covariance matrix, symmetric and positive definite",
            ),
        ),
        "vectors whose entries vary together",
        family="regression",
    )
)

SURVIVAL = register_signature(
    Signature(
        "survival",
        (
            Input("log_risk", ("batch",), DOMAIN, doc="logarithm of the predicted hazard; the higher, the sooner"),
            Input("time", ("batch",), Interval(1e-6, DOMAIN.upper), "target", doc="observed times, > 0"),
            Input("event", ("batch",), UNIT, "target", doc="1 where `time` ended with the event, 0 where censored"),
        ),
        "times until an event, of which some were not waited for",
    )
)
