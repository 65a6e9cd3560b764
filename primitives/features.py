"""Similarity of the feature vectors at the positions of `features[batch, channel, *space]`."""

from __future__ import annotations

from lossearch.ir.core.axes import LARGEST_AXIS
from lossearch.ir.core.expr import Expr
from lossearch.ir.core.primitive import primitive
from lossearch.ir.operators import functions as fn

FAMILY = "features"

SHORTEST = 1e-4
"""Norm below which a feature vector counts as having no direction, so that no gradient can overflow float32."""


@primitive(family=FAMILY)
def cosine_distances(features: Expr, target: Expr) -> Expr:
    """1 - cosine between all positions of two maps: [batch, space, space'] in [0, 2].

    Of both the target's mean vector is subtracted first. Mechrez et al. 2018.
    """
    # Measured from the target's least value, a channel that is constant in both is exactly zero.
    least = fn.stop_gradient(fn.min(target, "space"))
    centre = fn.mean(target - least, "space")
    other = fn.rename(fn.unit((target - least) - centre, "channel", SHORTEST), "space", "space'")
    cosine = fn.contract(fn.unit((features - least) - centre, "channel", SHORTEST), other, "channel")
    return 1 - fn.clamp(cosine, -1.0, 1.0)


@primitive(family=FAMILY)
def contextual_similarity(features: Expr, target: Expr, bandwidth: Expr, epsilon: Expr) -> Expr:
    """Mean over the target's positions of the best match's share: [batch] in (0, 1]. Mechrez et al. 2018."""
    distance = cosine_distances(features, target)
    relative = distance / (fn.min(distance, "space'") + epsilon)
    share = fn.softmax((1 - relative) / bandwidth, "space'")
    # Shares of one position sum to one over N targets, so the mean of the largest is at least 1/N.
    return fn.clamp(fn.mean(fn.max(share, "space"), "space'"), lower=1.0 / LARGEST_AXIS)
