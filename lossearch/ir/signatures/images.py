"""Signatures of images, features, adversaries, latent variables and diffusion."""

from __future__ import annotations

from lossearch.ir.core.interval import UNIT, Interval
from lossearch.ir.core.signature import DOMAIN, Input, Signature, register_signature

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
