"""The hand-designed losses: seeds of a search and baselines of a comparison."""

from lossearch.zoo import dense  # first: losses are listed as they are declared

# isort: split
from lossearch.zoo import (
    adversarial,
    binary,
    binary_overlap,
    boundary,
    box,
    combining,
    diffusion,
    distillation,
    embedding,
    features,
    image,
    latent,
    long_tailed,
    lovasz,
    margin,
    multi_view,
    overlap,
    parametric,
    regression,
    regression_counts,
    robust,
    survival,
    tracking,
)
from lossearch.zoo.registry import ENTRIES, Entry, entries, entry, get, hand_designed, names

__all__ = ["ENTRIES", "Entry", "entries", "entry", "get", "hand_designed", "names"]

FAMILIES = (
    *(
        dense,
        long_tailed,
        robust,
        binary,
        overlap,
        binary_overlap,
        lovasz,
        boundary,
        distillation,
        box,
        regression,
        regression_counts,
        embedding,
        margin,
    ),
    *(multi_view, tracking, image, features, adversarial, latent, diffusion, combining, survival, parametric),
)
"""The modules whose import declares the losses."""
