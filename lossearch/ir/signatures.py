"""The signatures that come with lossearch: one per set of inputs, grouped by task family."""

from __future__ import annotations

from lossearch.ir.core.interval import UNIT, Interval
from lossearch.ir.core.signature import DOMAIN, Input, Signature, register_signature

_CLASS_WEIGHT = Input(
    "class_weight", ("class",), Interval(0.0, 1e4), "buffer", doc="weight of each class, as PyTorch's `weight`"
)

_CLASS_COUNT = Input(
    "class_count", ("class",), Interval(1.0, 1e12), "buffer", doc="training elements of each class, 1 or more"
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
            _CLASS_WEIGHT,
            _CLASS_COUNT,
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
            _CLASS_WEIGHT,
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
            _CLASS_WEIGHT,
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
            _CLASS_WEIGHT,
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

IMAGE = register_signature(
    Signature(
        "image",
        (
            Input("image", ("batch", "channel", "space"), DOMAIN, doc="restored or generated images"),
            Input("target", ("batch", "channel", "space"), DOMAIN, "target", doc="true images"),
        ),
        "images against reference images",
        rank=2,
    )
)

IMAGE_PRIOR = register_signature(
    Signature(
        "image_prior",
        (Input("image", ("batch", "channel", "space"), DOMAIN, doc="restored or generated images"),),
        "images alone",
        family="image",
        rank=2,
    )
)

MASKED_IMAGE = register_signature(
    Signature(
        "masked_image",
        (
            *IMAGE.inputs,
            Input("masked", ("batch", "space"), UNIT, "target", doc="1 where the model saw nothing, else 0"),
        ),
        "images reconstructed where they were masked",
        family="image",
        rank=2,
    )
)

CYCLE = register_signature(
    Signature(
        "cycle",
        (
            Input("first_cycle", ("batch", "channel", "space"), DOMAIN, doc="first domain's images after a round trip"),
            Input(
                "second_cycle", ("batch", "channel", "space"), DOMAIN, doc="second domain's images after a round trip"
            ),
            Input("first", ("batch", "channel", "space"), DOMAIN, "target", doc="first domain's images"),
            Input("second", ("batch", "channel", "space"), DOMAIN, "target", doc="second domain's images"),
        ),
        "images of two domains and what comes back of them",
        family="image",
        rank=2,
    )
)

FEATURES = register_signature(
    Signature(
        "features",
        (
            Input("features", ("batch", "channel", "space"), DOMAIN, doc="feature maps of the output"),
            Input("target", ("batch", "channel", "space"), DOMAIN, "target", doc="feature maps of the reference"),
        ),
        "feature maps of one layer of any network",
        rank=2,
    )
)

ADVERSARIAL = register_signature(
    Signature(
        "adversarial",
        (
            Input("fake", ("batch", "space"), DOMAIN, doc="discriminator's scores of generated samples"),
            Input("real", ("batch", "space"), DOMAIN, doc="discriminator's scores of real samples"),
        ),
        "scores of generated and real samples",
    )
)

LATENT = register_signature(
    Signature(
        "latent",
        (
            Input("reconstruction", ("batch", "space"), DOMAIN, doc="decoded samples"),
            Input("target", ("batch", "space"), DOMAIN, "target", doc="true samples"),
            Input("mean", ("batch", "feature"), DOMAIN, doc="means of the latent distribution"),
            Input("log_variance", ("batch", "feature"), Interval(-60.0, 60.0), doc="logarithms of its variances"),
        ),
        "reconstructions with a Gaussian latent distribution",
        rank=1,
    )
)

DIFFUSION = register_signature(
    Signature(
        "diffusion",
        (
            Input("prediction", ("batch", "space"), DOMAIN, doc="predicted noise"),
            Input("noise", ("batch", "space"), DOMAIN, "target", doc="noise that was added"),
        ),
        "noise predicted by a diffusion model",
        rank=3,
    )
)

DIFFUSION_SCORE = register_signature(
    Signature(
        "diffusion_score",
        (
            Input("score", ("batch", "space"), DOMAIN, doc="estimated gradient of the log-density"),
            Input(
                "noise", ("batch", "space"), DOMAIN, "target", doc="standard normal noise that was added times sigma"
            ),
            Input("sigma", ("batch",), Interval(0.0, DOMAIN.upper), "target", doc="standard deviation of the noise"),
        ),
        "scores at noise levels",
        family="diffusion",
        rank=3,
    )
)

DIFFUSION_SNR = register_signature(
    Signature(
        "diffusion_snr",
        (
            *DIFFUSION.inputs,
            Input("snr", ("batch",), Interval(0.0, 1e8), "target", doc="signal-to-noise ratio of each sample's step"),
        ),
        "noise predicted at known signal-to-noise ratios",
        family="diffusion",
        rank=3,
    )
)

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
