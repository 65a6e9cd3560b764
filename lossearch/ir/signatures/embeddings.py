"""Signatures of embeddings and views: pairs, triplets, margins, attention, responses."""

from __future__ import annotations

from lossearch.ir.core.interval import UNIT, Interval
from lossearch.ir.core.signature import DOMAIN, Input, Signature, register_signature
from lossearch.ir.signatures.annotated import CLASS_WEIGHT_INPUT

PAIR = register_signature(
    Signature(
        "pair",
        (
            Input("first", ("batch", "feature"), DOMAIN, doc="embeddings of one side"),
            Input("second", ("batch", "feature"), DOMAIN, doc="embeddings of the other side"),
            Input("target", ("batch",), UNIT, "target", doc="1 for a pair of the same class, 0 for another"),
        ),
        "pairs of embeddings, similar or not",
        family="embedding",
    )
)

TRIPLET = register_signature(
    Signature(
        "triplet",
        (
            Input("anchor", ("batch", "feature"), DOMAIN, doc="embeddings"),
            Input("positive", ("batch", "feature"), DOMAIN, doc="embeddings of the anchors' classes"),
            Input("negative", ("batch", "feature"), DOMAIN, doc="embeddings of other classes"),
        ),
        "triplets of embeddings",
        family="embedding",
    )
)

EMBEDDING = register_signature(
    Signature(
        "embedding",
        (
            Input("embeddings", ("batch", "feature"), DOMAIN, doc="embeddings of a whole batch"),
            Input(
                "target", ("batch",), Interval(-(2.0**53), 2.0**53), "target", doc="integer class labels", kind="index"
            ),
        ),
        "batches of embeddings with class labels",
    )
)

CENTERS = register_signature(
    Signature(
        "centers",
        (
            Input("embeddings", ("batch", "feature"), DOMAIN, doc="embeddings"),
            Input("target", ("batch", "class"), UNIT, "target", labels="class", doc="integer labels [batch]"),
            Input(
                "centers", ("class", "feature"), DOMAIN, "buffer", doc="initial centre of each class", learnable=True
            ),
        ),
        "embeddings and one learnable centre a class",
        family="embedding",
    )
)

POSITIVES = register_signature(
    Signature(
        "positives",
        (
            Input("anchor", ("batch", "feature"), DOMAIN, doc="embeddings, each of a class or instance of its own"),
            Input("positive", ("batch", "feature"), DOMAIN, doc="another embedding of each class or instance"),
        ),
        "anchors with one positive each; the others' positives are the negatives",
        family="embedding",
    )
)

RANKING = register_signature(
    Signature(
        "ranking",
        (
            Input("first", ("batch",), DOMAIN, doc="scores"),
            Input("second", ("batch",), DOMAIN, doc="scores to compare with"),
            Input(
                "target", ("batch",), Interval(-1.0, 1.0), "target", doc="1 where the first should be larger, else -1"
            ),
        ),
        "pairs of scores and their order",
        family="embedding",
    )
)

MARGIN = register_signature(
    Signature(
        "margin",
        (
            Input("cosine", ("batch", "class"), Interval(-1.0, 1.0), doc="cosines to the class centres"),
            Input("target", ("batch", "class"), UNIT, "target", labels="class", doc="integer labels [batch]"),
            CLASS_WEIGHT_INPUT,
        ),
        "cosine logits of a margin head",
    )
)

VIEWS = register_signature(
    Signature(
        "views",
        (
            Input("first", ("batch", "feature"), DOMAIN, doc="embeddings of one view or modality"),
            Input("second", ("batch", "feature"), DOMAIN, doc="embeddings of the other, in the same order"),
        ),
        "two views or modalities of the same instances",
        family="multi_view",
    )
)

PREDICTED_VIEWS = register_signature(
    Signature(
        "predicted_views",
        (
            Input("first_prediction", ("batch", "feature"), DOMAIN, doc="predictor's output for the first view"),
            Input("second_prediction", ("batch", "feature"), DOMAIN, doc="predictor's output for the second view"),
            Input("first_target", ("batch", "feature"), DOMAIN, "target", doc="projection of the first view"),
            Input("second_target", ("batch", "feature"), DOMAIN, "target", doc="projection of the second view"),
        ),
        "two views, each predicted from the other",
        family="multi_view",
    )
)

ATTENTION = register_signature(
    Signature(
        "attention",
        (
            Input("attention", ("batch", "space"), DOMAIN, doc="attention maps"),
            Input("target", ("batch", "space"), DOMAIN, "target", doc="target maps"),
        ),
        "attention maps against target maps",
        family="multi_view",
        rank=2,
    )
)

RESPONSE = register_signature(
    Signature(
        "response",
        (
            Input("response", ("batch", "space"), DOMAIN, doc="response maps of exemplar and search region"),
            Input("target", ("batch", "space"), Interval(-1.0, 1.0), "target", doc="1 at the object, else -1"),
        ),
        "response maps of a Siamese tracker",
        family="tracking",
        rank=2,
    )
)
